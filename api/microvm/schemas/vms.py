"""Virtual machines."""

from __future__ import annotations

from marshmallow import Schema, fields

from api.rest.fields import Choice, Flag, Moment, Number, Text, Within, computed
from api.rest.schemas import Sorting, Strict, constant
from api.shared import placements
from api.shared.expiry import DESCRIPTION
from api.shared.networks import NetworkRequest
from api.shared.sizing import Sizes
from api.shared.views import last_seen_at, operation_id, uptime_seconds
from api.shared.words import HOST_NAME, IMAGE_NAME, OS_TYPES, VM_NAME, Hypervisor, RestartPolicyField
from core.contract.networks import BRIDGE, USER
from core.contract.states import RestartPolicy, Status
from core.contract.vms import VmNetwork as Where
from core.services import expiry, listing, sizes
from core.services.listing import VmView


class VmQuery(Sorting):
    """Which VMs."""

    status = Choice(*Status)
    os_type = Choice(*OS_TYPES)
    sort = Choice(*listing.ORDERING.sorts)


class StorageRequest(Strict):
    """The disk of a VM."""

    disk_size_gb = Number(*sizes.DISK_GB, metadata={"description": sizes.DISK_DEFAULT})
    disk_type = Choice("ssd", "hdd", "nvme", load_default="ssd")


class VmCreation(Strict):
    """A new VM. Without a template: that of its `os_type`."""

    name = Text(required=True, longest=63, validate=VM_NAME)
    os_type = Choice(*OS_TYPES, load_default="linux")
    vcpus = fields.Integer(strict=True, validate=Within(*sizes.VCPUS), load_default=1)
    memory_mb = Number(*sizes.MEMORY_MB, load_default=512)
    template = Text(longest=63, validate=IMAGE_NAME)
    network_config = fields.Nested(NetworkRequest, load_default=dict)
    storage_config = fields.Nested(StorageRequest, load_default=lambda: StorageRequest().load({}))
    hypervisor = Hypervisor()
    host = Text(longest=63, validate=HOST_NAME)
    placement = placements.asked()
    restart_policy = RestartPolicyField(load_default=RestartPolicy.NONE)
    ttl_seconds = Number(*expiry.TTL_SECONDS, metadata={"description": DESCRIPTION})


def _network(view: VmView) -> Where:
    return view.vm.network.true


class VmNetwork(Schema):
    """Where the VM is: on a bridge of its host, or in user mode, whose `bridge` is "user"."""

    ip = fields.String(required=True)
    bridge = fields.String(required=True)
    type = Choice(BRIDGE, USER, required=True)


class VmNetworkDetail(VmNetwork):
    """The same, with the address of its adapter."""

    mac_address = fields.String(required=True, allow_none=True, dump_default=None)


class VmBrief(Schema):
    """A VM in a list."""

    name = fields.String(required=True, attribute="vm.name")
    id = fields.String(required=True, attribute="vm.id")
    status = Choice(*Status, required=True)
    os_type = fields.String(required=True, attribute="vm.os_type")
    vcpus = fields.Integer(required=True, attribute="vm.current_vcpus")
    memory_mb = fields.Integer(required=True, attribute="vm.current_memory_mb")
    created_at = Moment(required=True, attribute="vm.created_at")
    network_config = computed(fields.Nested, _network, nested=VmNetwork)
    hypervisor = fields.String(required=True, attribute="vm.hypervisor")
    host = fields.String(required=True, attribute="vm.host_name")


class Usage(Schema):
    """What a VM used a few seconds ago, as its host saw it; null where that is not known."""

    cpu_usage_percent = fields.Float(required=True, allow_none=True, dump_default=None, attribute="cpu_percent")
    memory_used_mb = fields.Integer(required=True, allow_none=True, dump_default=None, attribute="memory_mb")
    disk_usage_gb = fields.Float(required=True, allow_none=True, dump_default=None, attribute="disk_gb")


class VmDetail(VmBrief):
    """All about a VM. `last_seen_at`: the last heartbeat of its host, if that is offline.

    `at_next_start`: the size and the limits that it will have then, at the latest.
    """

    started_at = Moment(required=True, allow_none=True, attribute="vm.started_at")
    uptime_seconds = computed(fields.Integer, uptime_seconds)
    network_config = computed(fields.Nested, _network, nested=VmNetworkDetail)
    resource_usage = computed(fields.Nested, lambda view: view.usage or {}, nested=Usage)
    template = fields.String(required=True, attribute="vm.image")
    disk_size_gb = fields.Integer(required=True, attribute="vm.disk_gb")
    reason = fields.String(required=True, allow_none=True, attribute="vm.observed_reason")
    expires_at = Moment(required=True, allow_none=True, attribute="vm.expires_at")
    restart_policy = RestartPolicyField(required=True, attribute="vm.restart_policy")
    last_seen_at = computed(Moment, last_seen_at, allow_none=True)
    at_next_start = fields.Nested(Sizes, required=True, attribute="vm")
    placement = fields.Nested(placements.PlacementSchema, required=True, attribute="vm.placement")
    operation_id = computed(fields.String, operation_id, allow_none=True)


class Started(Schema):
    """A start that has succeeded."""

    message = constant("VM started successfully")
    vm_name = fields.String(required=True, attribute="vm.name")
    status = constant("running")
    started_at = Moment(required=True, allow_none=True, attribute="vm.started_at")


class Stopping(Strict):
    """How to stop: ask the guest and cut the power after the timeout; at once with `force`."""

    force = Flag(load_default=False)
    timeout_seconds = Number(0, 3600, load_default=30)


class Stopped(Schema):
    """A stop that has succeeded."""

    message = constant("VM stopped successfully")
    vm_name = fields.String(required=True, attribute="vm.name")
    status = constant("stopped")
    stopped_at = Moment(required=True, attribute="operation.ended_at")


class Restarted(Schema):
    """A restart that has succeeded."""

    message = constant("VM restarted successfully")
    vm_name = fields.String(required=True, attribute="vm.name")
    status = constant("running")
    restarted_at = Moment(required=True, attribute="operation.ended_at")


class Paused(Schema):
    """A pause that has succeeded."""

    message = constant("VM paused successfully")
    vm_name = fields.String(required=True, attribute="vm.name")
    status = constant("paused")
    paused_at = Moment(required=True, attribute="operation.ended_at")


class Saved(Schema):
    """A VM that is off, with its memory kept."""

    message = constant("VM saved successfully")
    vm_name = fields.String(required=True, attribute="vm.name")
    status = constant("stopped")
    saved_at = Moment(required=True, attribute="operation.ended_at")


class Resumed(Schema):
    """A paused VM that goes on."""

    message = constant("VM resumed successfully")
    vm_name = fields.String(required=True, attribute="vm.name")
    status = constant("running")
    resumed_at = Moment(required=True, attribute="operation.ended_at")
