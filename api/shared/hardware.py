"""/vms/{vm}/disks and /vms/{vm}/network-adapters: what is attached to a VM, and its places in networks."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView
from marshmallow import Schema, ValidationError, fields, validates_schema
from msgspec import UNSET
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, FlagField, NumberField, TextField
from api.rest.questions import AgentCall
from api.rest.schemas import PagingSchema, StrictSchema, constant
from api.rest.shapes import ResultPage, Shape
from api.shared.views import nothing
from core.contract import results
from core.contract.commands import AdapterSet, DiskAttach
from core.contract.errors import NotFound
from core.contract.messages import JSON, build
from core.contract.vms import ADAPTER_MODES, ADAPTER_TYPES, DISK_TYPES, Adapter
from core.services import calls, hardware, operations
from core.services.accepted import Accepted, AnyOperation
from core.services.context import Actor
from core.units import GB

_SECONDS = 30.0
_VISIBLE = (
    "whether the guest has found the disk; false: not yet; null: unknown, as the VM is off or its guest agent does not "
    "report disks"
)


class GigabytesField(fields.Float):
    """A number of bytes as GiB: a whole number where it is one."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        if value is None:
            return None
        size = round(value / GB, 2)
        return int(size) if size.is_integer() else size


class WholeSchema(PagingSchema):
    """Which part of a list; without a limit all of it."""

    limit = NumberField(1, 100, strict=False, load_default=None, metadata={"description": "maximum number of results"})


class AttachedDiskSchema(Schema):
    """What is attached at a place. `own`: it is the VM's own disk, and goes with it."""

    controller = fields.String(required=True)
    port = fields.Integer(required=True)
    device = fields.Integer(required=True)
    type = ChoiceField(*DISK_TYPES, required=True)
    medium = fields.String(required=True)
    size_gb = GigabytesField(required=True, attribute="size_bytes")
    used_gb = GigabytesField(required=True, allow_none=True, attribute="used_bytes")
    format = fields.String(required=True)
    own = fields.Boolean(required=True)


class DiskAttachmentSchema(StrictSchema):
    """A medium below a media folder of the VM's host; made with that size if it is to be and is not there."""

    controller = TextField(required=True, shortest=1, longest=64)
    port = NumberField(*hardware.PORTS, required=True)
    device = NumberField(*hardware.DEVICES, load_default=0)
    type = ChoiceField(*DISK_TYPES, load_default="hdd")
    medium = TextField(required=True, shortest=1, longest=1000)
    create_if_missing = FlagField(load_default=False)
    size_gb = NumberField(*hardware.DISK_GB)

    @validates_schema
    def _can_be_made(self, data: JSON, **_: Any) -> None:
        if data["create_if_missing"] and data["type"] == "dvd":
            raise ValidationError("is only valid for type 'hdd'", "create_if_missing")


class DiskAttachedSchema(Schema):
    """A disk that was attached."""

    controller = fields.String(required=True)
    port = fields.Integer(required=True)
    device = fields.Integer(required=True)
    visible_to_guest = fields.Boolean(required=True, allow_none=True, metadata={"description": _VISIBLE})
    message = constant("Disk attached successfully")


class NetworkAdapterSchema(Schema):
    """A network adapter. `bridge_adapter`: the interface or network of the host that it is on."""

    slot = fields.Integer(required=True)
    enabled = fields.Boolean(required=True)
    type = fields.String(required=True)
    mac_address = fields.String(required=True, allow_none=True)
    cable_connected = fields.Boolean(required=True)
    speed_mbps = fields.Integer(required=True)
    mode = fields.String(required=True)
    bridge_adapter = fields.String(required=True, allow_none=True)


class AdapterChangesSchema(StrictSchema):
    """What is to change of an adapter; what is left out stays as it is."""

    enabled = FlagField()
    type = ChoiceField(*ADAPTER_TYPES)
    cable_connected = FlagField()
    mode = ChoiceField(*ADAPTER_MODES)
    bridge_adapter = TextField(shortest=1, longest=64)

    @validates_schema
    def _asks_for_something(self, data: JSON, **_: Any) -> None:
        if not data:
            raise ValidationError(f"at least one of {', '.join(self.fields)} is required", "enabled")


class AdapterUpdatedSchema(Schema):
    """An adapter that was changed."""

    slot = fields.Integer(required=True)
    message = constant("Network adapter updated")


def blueprint(shape: Shape) -> Blueprint:
    """The resources, in a dialect."""
    blp = Blueprint("hardware", shape, "Disks and network adapters")

    @blp.route("/vms/<vm_id_or_name>/disks")
    class DisksView(MethodView):
        @blp.query(WholeSchema)
        @blp.read_many_from_agent("disks", AttachedDiskSchema, _listed)
        def get(self, session: Session, actor: Actor, query: JSON, vm_id_or_name: str) -> AgentCall:
            """List the disks of a virtual machine, its own first."""
            return _question(session, actor, vm_id_or_name, "disks", query)

        @blp.body(DiskAttachmentSchema)
        @blp.start_operation(200, DiskAttachedSchema, _attached)
        def post(self, session: Session, actor: Actor, body: JSON, vm_id_or_name: str) -> Accepted:
            """Attach a disk to a virtual machine."""
            return hardware.attach(session, actor, vm_id_or_name, DiskAttach(**body))

    @blp.route("/vms/<vm_id_or_name>/disks/<controller>/<int:port>/<int:device>")
    class DiskView(MethodView):
        @blp.start_operation(204, None, nothing)
        def delete(
            self, session: Session, actor: Actor, vm_id_or_name: str, controller: str, port: int, device: int
        ) -> Accepted:
            """Detach a disk from a virtual machine; its file stays."""
            _must_be_there("disk", port <= hardware.PORTS[1] and device <= hardware.DEVICES[1])
            return hardware.detach(session, actor, vm_id_or_name, controller, port, device)

    @blp.route("/vms/<vm_id_or_name>/network-adapters")
    class AdaptersView(MethodView):
        @blp.query(WholeSchema)
        @blp.read_many_from_agent("network_adapters", NetworkAdapterSchema, _listed)
        def get(self, session: Session, actor: Actor, query: JSON, vm_id_or_name: str) -> AgentCall:
            """List the network adapters of a virtual machine, by slot."""
            return _question(session, actor, vm_id_or_name, "adapters", query)

    @blp.route("/vms/<vm_id_or_name>/network-adapters/<int:slot>")
    class AdapterView(MethodView):
        @blp.body(AdapterChangesSchema)
        @blp.start_operation(200, AdapterUpdatedSchema, _params)
        def put(self, session: Session, actor: Actor, body: JSON, vm_id_or_name: str, slot: int) -> Accepted:
            """Change a network adapter of a virtual machine."""
            _must_be_there("network adapter", slot <= hardware.SLOTS[1])
            changes = {_NAMES.get(name, name): value for name, value in body.items()}
            return hardware.set_adapter(session, actor, vm_id_or_name, AdapterSet(slot, **changes))

    return blp


def adapter_body(adapter: Adapter) -> JSON:
    """An adapter, as its host has told it, in the words of the document."""
    return {
        **vars(adapter),
        "mac_address": adapter.mac_address.replace(":", "").upper() if adapter.mac_address else None,
        "speed_mbps": 100 if adapter.type.startswith("Am79") else 1000,
        "bridge_adapter": adapter.network,
    }


_NAMES = {"bridge_adapter": "network"}


def _question(session: Session, actor: Actor, ref: str, verb: str, query: JSON) -> AgentCall:
    host, vm = calls.to_host(session, actor, ref, verb)
    return AgentCall(host, verb, vm, {}, _SECONDS, said=query)


def _listed(question: AgentCall, reply: JSON) -> ResultPage:
    found: list[JSON] = reply[question.verb]
    if question.verb == "adapters":
        found = [adapter_body(build(Adapter, adapter)) for adapter in found]
    first, limit = question.said["offset"], question.said["limit"]
    return ResultPage(found[first : None if limit is None else first + limit], len(found), limit, first)


def _attached(session: Session, operation: AnyOperation) -> JSON:
    told = operations.result_of(operation, results.DiskAttached)
    seen = told.visible_to_guest if told else None
    return _params(session, operation) | {"visible_to_guest": None if seen is UNSET else seen}


def _params(_session: Session, operation: AnyOperation) -> JSON:
    return operation.params


def _must_be_there(what: str, there: bool) -> None:
    if not there:
        raise NotFound(f"the VM has no such {what}")
