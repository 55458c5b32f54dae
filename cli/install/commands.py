"""`corral install control|agent`: puts the units in place, and says what to do next."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cli.install import units

_NEXT = {
    "control": """\
Next, as root:
  systemd-sysusers                                # makes the user `corral`
  apt-get install postgresql-15 redis-server;     # unless they are elsewhere
  runuser -u postgres -- createuser corral
  runuser -u postgres -- createdb --owner=corral corral
  editor {settings}    # addresses, the proxy
  systemctl daemon-reload
  systemctl enable --now corral-api corral-worker corral-flower
  systemd-run --pty --uid=corral -p EnvironmentFile={settings} {prefix}/bin/corral administrator""",
    "agent": """\
Next, as root:
  {prefix}/bin/corral doctor --hypervisor qemu    # what this machine lacks
  {prefix}/bin/corral-agent join TOKEN    # what an administrator's `corral host add` has printed
  systemctl daemon-reload
  systemctl enable --now corral-agent
More settings are in {settings}.""",
}
_UPDATE = {
    "control": "  systemctl restart corral-api corral-worker corral-flower",
    "agent": "  systemctl restart corral-agent             # VMs live on",
}


@click.command()
@click.argument("role", type=click.Choice(sorted(units.ROLES)))
@click.option("--root", type=click.Path(path_type=Path), default="/", help="Below which folder, instead of /.")
@click.option(
    "--prefix", type=click.Path(path_type=Path), help="Where Corral is installed (default: what you run now)."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def install(role: str, root: Path, prefix: Path | None, dry_run: bool) -> None:
    """Put systemd's units in place on Debian, for the control plane or for a host's agent.

    Units are written anew, so changes of yours belong in `systemctl edit`. A file in /etc/corral is written once and
    then is yours. Nothing is started.
    """
    root, prefix = root.absolute(), (prefix or Path(sys.prefix)).absolute()
    if (why := units.refusal(root, prefix)) and not dry_run:
        raise click.ClickException(why)
    done = {file.path: units.put(file, dry_run=dry_run) for file in units.files(role, root, prefix)}
    for path, word in done.items():
        click.echo(f"{word:8}{path}")
    settings = f"/{units.SETTINGS}/{role}.env"
    if done[root / settings.lstrip("/")] == "new":
        click.echo("\n" + _NEXT[role].format(settings=settings, prefix=prefix))
    elif "changed" in done.values():
        click.echo("\nNext, as root:\n  systemctl daemon-reload\n" + _UPDATE[role])
    if why:
        click.echo(f"\nNot without --dry-run: {why}", err=True)
