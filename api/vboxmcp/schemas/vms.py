"""Virtual machines."""

from __future__ import annotations

import re

from marshmallow import Schema, fields, validate

from api.rest.fields import ChoiceField, FlagField, MomentField, NumberField, Pattern, TextField, computed
from api.rest.schemas import SortingAllSchema, StrictSchema
from api.shared import placements
from api.shared.expiry import DESCRIPTION
from api.shared.hardware import GigabytesField, NetworkAdapterSchema
from api.shared.networks import NetworkRequestSchema
from api.shared.sizing import SizesSchema
from api.shared.views import uptime_seconds
from api.shared.words import HOST_NAME, IMAGE_NAME, OS_TYPES, VM_NAME, HypervisorField, IfExists, RestartPolicyField
from api.vboxmcp.hardware import adapters_of, controllers_of
from api.vboxmcp.states import STATES, message_of, state_after, state_of
from core.contract.networks import BRIDGE, USER
from core.contract.states import RestartPolicy
from core.contract.vms import ADAPTER_MODES, ADAPTER_TYPES
from core.services import expiry, listing, sizes

CONTROLLERS = ("ide", "sata", "scsi", "sas", "usb", "floppy", "pcie", "virtio")
_OS_TYPE = Pattern(re.compile(r"[A-Za-z0-9_]{1,64}"), "must have 1 to 64 letters, digits or '_'")
_ADAPTER = Pattern(re.compile(r"adapter[1-8]"), "must be adapter1 to adapter8")


class VboxmcpVmQuerySchema(SortingAllSchema):
    """Which VMs; without a limit all of them."""

    state = ChoiceField(*STATES)
    os_type = ChoiceField(*OS_TYPES)
    sort = ChoiceField(*listing.ORDERING.sorts)


class AdapterRequestSchema(StrictSchema):
    """A network adapter of a new VM."""

    enabled = FlagField(load_default=True)
    type = ChoiceField(*ADAPTER_MODES, load_default="nat")
    adapter_type = ChoiceField(*ADAPTER_TYPES, load_default="82540EM")
    cable_connected = FlagField(load_default=True)
    bridge_adapter = TextField(shortest=1, longest=64)


class ControllerRequestSchema(StrictSchema):
    """A storage controller of a new VM."""

    name = TextField(required=True, shortest=1, longest=64)
    type = ChoiceField(*CONTROLLERS, load_default="sata")
    port_count = NumberField(1, 30, load_default=4)


class VboxmcpVmCreationSchema(StrictSchema):
    """A new VM."""

    name = TextField(required=True, longest=63, validate=VM_NAME)
    os_type = TextField(longest=64, validate=_OS_TYPE, load_default="Ubuntu_64")
    memory_mb = NumberField(*sizes.MEMORY_MB, load_default=1024)
    cpus = NumberField(*sizes.VCPUS, load_default=1)
    storage_gb = NumberField(*sizes.DISK_GB, metadata={"description": sizes.DISK_DEFAULT})
    network = fields.Dict(
        keys=TextField(validate=_ADAPTER), values=fields.Nested(AdapterRequestSchema), load_default=dict
    )
    storage_controllers = fields.List(
        fields.Nested(ControllerRequestSchema), load_default=list, validate=validate.Length(max=8)
    )
    template = TextField(longest=63, validate=IMAGE_NAME)
    network_config = fields.Nested(NetworkRequestSchema, load_default=dict)
    hypervisor = HypervisorField()
    host = TextField(longest=63, validate=HOST_NAME)
    placement = placements.asked()
    restart_policy = RestartPolicyField(load_default=RestartPolicy.NONE)
    ttl_seconds = NumberField(*expiry.TTL_SECONDS, metadata={"description": DESCRIPTION})
    if_exists = IfExists()


class StartRequestSchema(StrictSchema):
    """Whether with a window on its host, which VirtualBox alone has."""

    headless = FlagField(load_default=True)
    gui = FlagField(load_default=False)


class StopRequestSchema(StrictSchema):
    """How to stop: ask the guest and cut the power after the timeout; at once with `force`."""

    force = FlagField(load_default=False)
    timeout_seconds = NumberField(0, 3600, load_default=30)


class VboxmcpVmBriefSchema(Schema):
    """A VM in a list."""

    id = fields.String(required=True, attribute="vm.id")
    name = fields.String(required=True, attribute="vm.name")
    state = computed(fields.String, lambda view: state_of(view.status), validate=validate.OneOf(STATES))
    os_type = computed(fields.String, lambda view: view.vm.hardware.os_type or view.vm.os_type)
    memory_mb = fields.Integer(required=True, attribute="vm.current_memory_mb")
    cpus = fields.Integer(required=True, attribute="vm.current_vcpus")
    uptime_seconds = computed(fields.Integer, uptime_seconds)
    hypervisor = fields.String(required=True, attribute="vm.hypervisor")
    host = fields.String(required=True, attribute="vm.host_name")


class AttachmentSchema(Schema):
    """A disk on a controller."""

    port = fields.Integer(required=True)
    device = fields.Integer(required=True)
    type = fields.String(required=True)
    medium = fields.String(required=True)
    size_gb = GigabytesField(required=True, attribute="size_bytes")
    used_gb = GigabytesField(required=True, allow_none=True, attribute="used_bytes")


class ControllerSchema(Schema):
    """A storage controller and what is attached to it."""

    name = fields.String(required=True)
    type = fields.String(required=True)
    port_count = fields.Integer(required=True)
    attachments = fields.List(fields.Nested(AttachmentSchema), required=True)


class VmPlaceSchema(Schema):
    """Where a VM is: on a bridge of its host, or in user mode, whose `bridge` is "user"."""

    ip = fields.String(required=True)
    bridge = fields.String(required=True)
    type = ChoiceField(BRIDGE, USER, required=True)
    mac_address = fields.String(required=True, allow_none=True, dump_default=None)


class VboxmcpVmDetailSchema(VboxmcpVmBriefSchema):
    """All about a VM. `at_next_start`: the size and the limits that it will have then, at the latest."""

    template = fields.String(required=True, attribute="vm.image")
    storage_gb = fields.Integer(required=True, attribute="vm.disk_gb")
    network_config = computed(fields.Nested, lambda view: view.vm.network.true, nested=VmPlaceSchema)
    at_next_start = fields.Nested(SizesSchema, required=True, attribute="vm")
    placement = fields.Nested(placements.PlacementSchema, required=True, attribute="vm.placement")
    reason = fields.String(required=True, allow_none=True, attribute="vm.observed_reason")
    expires_at = MomentField(required=True, allow_none=True, attribute="vm.expires_at")
    restart_policy = RestartPolicyField(required=True, attribute="vm.restart_policy")
    storage_controllers = computed(fields.List, controllers_of, cls_or_instance=fields.Nested(ControllerSchema))
    network_adapters = computed(fields.List, adapters_of, cls_or_instance=fields.Nested(NetworkAdapterSchema))


class VmChangedSchema(Schema):
    """A VM, and what has been begun or done to it."""

    id = fields.String(required=True, attribute="vm.id")
    name = fields.String(required=True, attribute="vm.name")
    state = computed(fields.String, state_after, validate=validate.OneOf(STATES))
    message = computed(fields.String, message_of)
