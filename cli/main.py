"""`corral`: the command line."""

from __future__ import annotations

import click

from cli.lazy import LazyCommand, LazyGroup
from core.contract.errors import CorralError
from core.version import VERSION


class _Main(LazyGroup):
    places = {
        "administrator": LazyCommand(
            "cli.controlplane:administrator", "Make the first administrator of a control plane."
        ),
        "api": LazyCommand("cli.remote.api:api", "Send any request to the API, for scripts."),
        "audit": LazyCommand("cli.audit:audit", "The audit log."),
        "backup": LazyCommand(
            "cli.backup.commands:backup", "Write all that a control plane knows into one file; no disks of VMs."
        ),
        "completion": LazyCommand(
            "cli.remote.completion:completion", "Print what makes a shell complete commands and names."
        ),
        "context": LazyCommand("cli.remote.contexts:context", "The fleets that you are logged in to."),
        "demo": LazyCommand("cli.demo:demo", "Show a VM's life on a fleet that is gone afterwards."),
        "doctor": LazyCommand("cli.doctor.commands:doctor", "Say what this machine lacks, and how to get it."),
        "down": LazyCommand("cli.fleet.down:down", "Stop the VMs that a former `up` left running."),
        "events": LazyCommand("cli.remote.fleet:events", "Show what happens, as it happens."),
        "health": LazyCommand("cli.remote.fleet:health", "Show each part of the control plane in a word."),
        "host": LazyCommand("cli.host.commands:host", "The machines that VMs run on."),
        "hypervisor": LazyCommand(
            "cli.hypervisor.commands:hypervisor", "Hypervisors that this machine's packages do not have."
        ),
        "image": LazyCommand("cli.image.commands:image", "Images that VMs are made from."),
        "install": LazyCommand("cli.install.commands:install", "Put systemd's units in place on this machine."),
        "key": LazyCommand("cli.remote.keys:key", "Your API keys."),
        "login": LazyCommand("cli.remote.contexts:login", "Log in to a fleet, and make it the current one."),
        "logout": LazyCommand("cli.remote.contexts:logout", "Revoke the current context's key, and forget it."),
        "mcp": LazyCommand("cli.mcp.commands:serve", "Serve tools for AI agents (Model Context Protocol)."),
        "media": LazyCommand("cli.remote.media:media", "Disks beside VMs' own, attached or kept."),
        "migrate": LazyCommand("cli.controlplane:migrate", "Bring the tables of a control plane up to date."),
        "network": LazyCommand("cli.remote.fleet:network", "List the networks that hosts offer."),
        "op": LazyCommand("cli.remote.operations:op", "Operations: changes that were accepted."),
        "restore": LazyCommand("cli.backup.commands:restore", "Bring a control plane back from a backup."),
        "scan": LazyCommand("cli.remote.scans:scan", "Security scans."),
        "settings": LazyCommand("cli.settings:show", "List every setting of this machine's environment."),
        "store": LazyCommand("cli.image.commands:store", "The image store of this machine, without a fleet."),
        "status": LazyCommand("cli.remote.fleet:status", "Show versions and counts."),
        "up": LazyCommand("cli.fleet.up:up", "Run a whole fleet on this machine; Ctrl-C stops it."),
        "user": LazyCommand("cli.remote.keys:user", "Accounts."),
        "vm": LazyCommand("cli.remote.vms:vm", "Virtual machines."),
        "webhook": LazyCommand("cli.remote.webhooks:webhook", "URLs that get your events."),
    }

    def invoke(self, ctx: click.Context) -> object:
        """An expected failure is a sentence and exit code 1, not a traceback."""
        try:
            return super().invoke(ctx)
        except CorralError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="corral", message="%(prog)s %(version)s")
def main() -> None:
    """Corral: one API over a fleet of hypervisor hosts.

    `corral up` runs a fleet on this machine, and `corral login` makes the others speak to one.
    """


if __name__ == "__main__":
    main(prog_name="corral")
