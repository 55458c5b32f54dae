"""`corral`: the command line."""

from __future__ import annotations

import click

from cli.lazy import LazyCommand, LazyGroup
from cli.visible import Sentence, visible
from core.contract.errors import CorralError
from core.version import VERSION


class _Main(LazyGroup):
    places = {
        "administrator": LazyCommand(
            "cli.controlplane:administrator", "Create the first administrator of a control plane."
        ),
        "api": LazyCommand("cli.remote.api:api", "Send any request to the API, for scripts."),
        "audit": LazyCommand("cli.audit:audit", "The audit log."),
        "backup": LazyCommand(
            "cli.backup.commands:backup", "Back up a control plane into one file, without VMs' disks."
        ),
        "completion": LazyCommand(
            "cli.remote.completion:completion", "Print the script that completes commands in your shell."
        ),
        "context": LazyCommand("cli.remote.contexts:context", "Contexts: the fleets that you are logged in to."),
        "demo": LazyCommand("cli.demo:demo", "Show a VM's whole life on a temporary fleet."),
        "doctor": LazyCommand("cli.doctor.commands:doctor", "Check what this machine lacks, and how to get it."),
        "down": LazyCommand("cli.fleet.down:down", "Stop the VMs that an earlier `up` left running."),
        "events": LazyCommand("cli.remote.fleet:events", "Show events as they happen."),
        "health": LazyCommand("cli.remote.fleet:health", "Show whether each part of the control plane is healthy."),
        "host": LazyCommand("cli.host.commands:host", "Hosts: the machines that VMs run on."),
        "hypervisor": LazyCommand(
            "cli.hypervisor.commands:hypervisor", "Install hypervisors that Debian does not package."
        ),
        "image": LazyCommand("cli.image.commands:image", "Images that VMs are created from."),
        "install": LazyCommand("cli.install.commands:install", "Install Corral's systemd units on this machine."),
        "key": LazyCommand("cli.remote.keys:key", "Your API keys."),
        "login": LazyCommand("cli.remote.contexts:login", "Log in to a fleet, and make it the current context."),
        "logout": LazyCommand("cli.remote.contexts:logout", "Revoke the current context's API key, and forget it."),
        "mcp": LazyCommand("cli.mcp.commands:serve", "Serve tools for AI agents (Model Context Protocol)."),
        "media": LazyCommand("cli.remote.media:media", "Disks that users have beside VMs' own."),
        "migrate": LazyCommand("cli.controlplane:migrate", "Migrate the database of a control plane."),
        "network": LazyCommand("cli.remote.fleet:network", "List the networks that hosts offer."),
        "op": LazyCommand("cli.remote.operations:op", "Operations: accepted changes, and how they ended."),
        "placement": LazyCommand("cli.remote.placing:placement", "Placement: which host a VM would be on, and why."),
        "restore": LazyCommand("cli.backup.commands:restore", "Restore a control plane from a backup."),
        "scan": LazyCommand("cli.remote.scans:scan", "Security scans of guests."),
        "settings": LazyCommand("cli.settings:show", "List every setting and its value here."),
        "store": LazyCommand("cli.image.commands:store", "The image store of this machine, without a fleet."),
        "status": LazyCommand("cli.remote.fleet:status", "Show the fleet's versions and counts."),
        "up": LazyCommand("cli.fleet.up:up", "Run a whole fleet on this machine; Ctrl-C stops it."),
        "user": LazyCommand("cli.remote.keys:user", "User accounts."),
        "vm": LazyCommand("cli.remote.vms:vm", "Virtual machines."),
        "webhook": LazyCommand("cli.remote.webhooks:webhook", "Webhooks: URLs that receive your events."),
    }

    def invoke(self, ctx: click.Context) -> object:
        """An expected failure is a sentence and exit code 1, not a traceback."""
        try:
            return super().invoke(ctx)
        except CorralError as error:
            raise click.ClickException(visible(error.message, lines=True)) from error
        except click.ClickException as error:
            shown = visible(error.format_message(), lines=True)
            if shown == error.format_message():
                raise
            raise Sentence(shown, error.exit_code) from error


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="corral", message="%(prog)s %(version)s")
def main() -> None:
    """Corral: one API over a fleet of hypervisor hosts.

    `corral up` runs a fleet on this machine; `corral login` connects to an existing one.
    """


if __name__ == "__main__":
    main(prog_name="corral")
