"""Virtual machines."""

from __future__ import annotations

from marshmallow import Schema, fields

from api.rest.fields import ChoiceField, FlagField, MomentField, NumberField, TextField, Within, computed
from api.rest.schemas import SortingSchema, StrictSchema, constant
from api.shared import placements
from api.shared.expiry import DESCRIPTION
from api.shared.networks import NetworkRequestSchema
from api.shared.sizing import SizesSchema
from api.shared.views import last_seen_at, operation_id, uptime_seconds
from api.shared.words import HOST_NAME, IMAGE_NAME, OS_TYPES, VM_NAME, HypervisorField, IfExists, RestartPolicyField
from core.contract.networks import BRIDGE, USER
from core.contract.states import RestartPolicy, VmStatus
from core.contract.vms import VmNetwork as Where
from core.services import expiry, listing, sizes
from core.services.listing import VmWithStatus


class MicrovmVmQuerySchema(SortingSchema):
    """The query of a list of VMs."""

    status = ChoiceField(*VmStatus)
    os_type = ChoiceField(*OS_TYPES)
    sort = ChoiceField(*listing.ORDERING.sorts)


class StorageRequestSchema(StrictSchema):
    """The disk of a VM."""

    disk_size_gb = NumberField(*sizes.DISK_GB, metadata={"description": sizes.DISK_DEFAULT})
    disk_type = ChoiceField("ssd", "hdd", "nvme", load_default="ssd")


class MicrovmVmCreationSchema(StrictSchema):
    """A new VM. Without a template: that of its `os_type`."""

    name = TextField(required=True, longest=63, validate=VM_NAME)
    os_type = ChoiceField(*OS_TYPES, load_default="linux")
    vcpus = fields.Integer(strict=True, validate=Within(*sizes.VCPUS), load_default=1)
    memory_mb = NumberField(*sizes.MEMORY_MB, load_default=512)
    template = TextField(longest=63, validate=IMAGE_NAME)
    network_config = fields.Nested(NetworkRequestSchema, load_default=dict)
    storage_config = fields.Nested(StorageRequestSchema, load_default=lambda: StorageRequestSchema().load({}))
    hypervisor = HypervisorField()
    host = TextField(longest=63, validate=HOST_NAME)
    placement = placements.asked()
    restart_policy = RestartPolicyField(load_default=RestartPolicy.NONE)
    ttl_seconds = NumberField(*expiry.TTL_SECONDS, metadata={"description": DESCRIPTION})
    if_exists = IfExists()


def _network(view: VmWithStatus) -> Where:
    return view.vm.network.true


class VmNetworkSchema(Schema):
    """The network of a VM: a bridge of its host, or user mode, whose `bridge` is "user"."""

    ip = fields.String(required=True)
    bridge = fields.String(required=True)
    type = ChoiceField(BRIDGE, USER, required=True)


class VmNetworkDetailSchema(VmNetworkSchema):
    """The network of a VM, with the address of its adapter."""

    mac_address = fields.String(required=True, allow_none=True, dump_default=None)


class MicrovmVmBriefSchema(Schema):
    """A VM in a list."""

    name = fields.String(required=True, attribute="vm.name")
    id = fields.String(required=True, attribute="vm.id")
    status = ChoiceField(*VmStatus, required=True)
    os_type = fields.String(required=True, attribute="vm.os_type")
    vcpus = fields.Integer(required=True, attribute="vm.current_vcpus")
    memory_mb = fields.Integer(required=True, attribute="vm.current_memory_mb")
    created_at = MomentField(required=True, attribute="vm.created_at")
    network_config = computed(fields.Nested, _network, nested=VmNetworkSchema)
    hypervisor = fields.String(required=True, attribute="vm.hypervisor")
    host = fields.String(required=True, attribute="vm.host_name")


class UsageSchema(Schema):
    """The usage of a VM a few seconds ago, as its host measured it; null where that is not known."""

    cpu_usage_percent = fields.Float(required=True, allow_none=True, dump_default=None, attribute="cpu_percent")
    memory_used_mb = fields.Integer(required=True, allow_none=True, dump_default=None, attribute="memory_mb")
    disk_usage_gb = fields.Float(required=True, allow_none=True, dump_default=None, attribute="disk_gb")


class StorageSchema(Schema):
    """The disk of a VM, as it was asked for. `disk_type` is null where nobody has said one."""

    disk_size_gb = fields.Integer(required=True, attribute="disk_gb")
    disk_type = fields.String(required=True, allow_none=True, attribute="hardware.disk_type")


class MicrovmVmDetailSchema(MicrovmVmBriefSchema):
    """A VM, in full. `last_seen_at`: the last heartbeat of its host, if that is offline.

    `at_next_start`: the size and the limits that it will have then, at the latest.
    """

    started_at = MomentField(required=True, allow_none=True, attribute="vm.started_at")
    uptime_seconds = computed(fields.Integer, uptime_seconds)
    network_config = computed(fields.Nested, _network, nested=VmNetworkDetailSchema)
    resource_usage = computed(fields.Nested, lambda view: view.usage or {}, nested=UsageSchema)
    template = fields.String(required=True, attribute="vm.image")
    disk_size_gb = fields.Integer(required=True, attribute="vm.disk_gb")
    storage_config = computed(fields.Nested, lambda view: view.vm, nested=StorageSchema)
    reason = fields.String(required=True, allow_none=True, attribute="vm.observed_reason")
    expires_at = MomentField(required=True, allow_none=True, attribute="vm.expires_at")
    restart_policy = RestartPolicyField(required=True, attribute="vm.restart_policy")
    last_seen_at = computed(MomentField, last_seen_at, allow_none=True)
    at_next_start = fields.Nested(SizesSchema, required=True, attribute="vm")
    placement = fields.Nested(placements.PlacementSchema, required=True, attribute="vm.placement")
    operation_id = computed(fields.String, operation_id, allow_none=True)


class StartedSchema(Schema):
    """A start that has succeeded."""

    message = constant("VM started successfully")
    vm_name = fields.String(required=True, attribute="vm.name")
    status = constant("running")
    started_at = MomentField(required=True, allow_none=True, attribute="vm.started_at")


class StoppingSchema(StrictSchema):
    """The way to stop: ask the guest and cut the power after the timeout; at once with `force`."""

    force = FlagField(load_default=False)
    timeout_seconds = NumberField(0, 3600, load_default=30)


class StoppedSchema(Schema):
    """A stop that has succeeded."""

    message = constant("VM stopped successfully")
    vm_name = fields.String(required=True, attribute="vm.name")
    status = constant("stopped")
    stopped_at = MomentField(required=True, attribute="operation.ended_at")


class RestartedSchema(Schema):
    """A restart that has succeeded."""

    message = constant("VM restarted successfully")
    vm_name = fields.String(required=True, attribute="vm.name")
    status = constant("running")
    restarted_at = MomentField(required=True, attribute="operation.ended_at")


class PausedSchema(Schema):
    """A pause that has succeeded."""

    message = constant("VM paused successfully")
    vm_name = fields.String(required=True, attribute="vm.name")
    status = constant("paused")
    paused_at = MomentField(required=True, attribute="operation.ended_at")


class SavedSchema(Schema):
    """A VM that is off, with its memory kept."""

    message = constant("VM saved successfully")
    vm_name = fields.String(required=True, attribute="vm.name")
    status = constant("stopped")
    saved_at = MomentField(required=True, attribute="operation.ended_at")


class ResumedSchema(Schema):
    """A paused VM that goes on."""

    message = constant("VM resumed successfully")
    vm_name = fields.String(required=True, attribute="vm.name")
    status = constant("running")
    resumed_at = MomentField(required=True, attribute="operation.ended_at")
