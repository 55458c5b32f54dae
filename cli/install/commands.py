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
  {prefix}/bin/corral-agent join TOKEN    # the token from an administrator's `corral host add`
  systemctl daemon-reload
  systemctl enable --now corral-agent
More settings are in {settings}.""",
}
_UPDATE = {
    "control": "  systemctl restart corral-api corral-worker corral-flower",
    "agent": "  systemctl restart corral-agent             # VMs keep running",
}


@click.command()
@click.argument("role", type=click.Choice(sorted(units.ROLES)))
@click.option(
    "--root", type=click.Path(path_type=Path), default="/", help="Put the files below this folder instead of /."
)
@click.option(
    "--prefix",
    type=click.Path(path_type=Path),
    help="Where Corral is installed (default: the installation you run now).",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done without doing it.")
def install(role: str, root: Path, prefix: Path | None, dry_run: bool) -> None:
    """Install Corral's systemd units on Debian, for the control plane or for a host's agent.

    Units are overwritten at each install, so make your changes with `systemctl edit`. Settings in /etc/corral are
    written once and never overwritten. Nothing is started.
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
