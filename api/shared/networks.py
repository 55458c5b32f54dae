"""/networks, and the network of a VM."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.auth.identity import actor as caller
from api.rest.blueprint import Blueprint
from api.rest.fields import AddressField, ChoiceField, TextField
from api.rest.schemas import PagingSchema, StrictSchema
from api.rest.shapes import ResultPage, Shape
from api.shared.forwards import ForwardSchema, ForwardWithVm
from api.shared.words import HOST_NAME
from api.web.context import api_context
from core.contract.errors import CorralError
from core.contract.messages import JSON
from core.contract.networks import BRIDGE, USER
from core.services import networks
from core.services.context import Actor
from core.services.networks import NetworkPlace

ASK_SECONDS = 3.0
CONNECTED, DISCONNECTED, UNKNOWN = CONNECTIVITY = ("connected", "disconnected", "unknown")


class NetworkRequestSchema(StrictSchema):
    """Where a VM is to be joined: a bridge that hosts have, an address there that is to be the VM's for its life."""

    bridge = TextField(shortest=1, longest=15)
    ip = AddressField()


class NetworkQuerySchema(PagingSchema):
    """Which networks."""

    host = TextField(longest=63, validate=HOST_NAME, load_default=None)


class HostNetworkSchema(Schema):
    """A network of a host. `vms_connected`: VMs that are on; `dhcp_range`: what goes to VMs that ask for no address."""

    name = fields.String(required=True)
    type = ChoiceField(BRIDGE, USER, required=True)
    subnet = fields.String(required=True)
    gateway = fields.String(required=True)
    dhcp_enabled = fields.Boolean(required=True)
    vms_connected = fields.Integer(required=True)
    host = fields.String(required=True)
    dhcp_range = fields.List(fields.String(), required=True, allow_none=True)


class VmNetworkingSchema(Schema):
    """A VM in its network; `source`: whether the guest told its address just now, or it is as recorded."""

    vm_name = fields.String(required=True, attribute="place.vm.name")
    ip_address = fields.String(required=True, allow_none=True)
    mac_address = fields.String(required=True, allow_none=True)
    bridge_name = fields.String(required=True, allow_none=True, attribute="place.bridge")
    network_interface = fields.String(required=True, allow_none=True, attribute="place.interface")
    connectivity_status = ChoiceField(*CONNECTIVITY, required=True)
    port_forwards = fields.List(fields.Nested(ForwardSchema), required=True)
    type = ChoiceField(BRIDGE, USER, required=True)
    host = fields.String(required=True, attribute="place.host.name")
    source = ChoiceField("guest", "recorded", required=True)


def blueprint(shape: Shape) -> Blueprint:
    """The resources, in a dialect."""
    blp = Blueprint("networks", shape, "Networks")

    @blp.route("/networks")
    class NetworksView(MethodView):
        @blp.query(NetworkQuerySchema)
        @blp.read_many("networks", HostNetworkSchema)
        def get(self, session: Session, actor: Actor, query: JSON) -> ResultPage:
            """List the networks of the hosts."""
            found = networks.list_of(session, actor, query["host"])
            first, limit = query["offset"], query["limit"]
            return ResultPage(found[first : first + limit], len(found), limit, first)

    @blp.route("/vms/<vm_name>/network")
    class VmNetworkView(MethodView):
        @blp.respond(200, VmNetworkingSchema, kind="read")
        def get(self, vm_name: str) -> JSON:
            """Get the network addresses of a virtual machine; waits up to three seconds for the guest."""
            with api_context().reading() as session:
                place = networks.place_of(session, caller(), vm_name)
            return _described(place, _told(place))

    return blp


def _told(place: NetworkPlace) -> list[JSON] | None:
    """The guest's interfaces by its own word; None when there is no word."""
    if place.ask is None:
        return None
    try:
        reply = api_context().hub.call(place.host.name, "network", place.ask, {}, ASK_SECONDS)
    except CorralError:
        return None  # then it is told as recorded, and `source` says so
    interfaces: list[JSON] = reply["interfaces"]
    return interfaces


def _described(place: NetworkPlace, told: list[JSON] | None) -> JSON:
    mac = place.vm.network.mac_address
    ours: list[Any] = [a for each in told or [] if each["mac_address"] == mac for a in each["addresses"]]
    return {
        "place": place,
        "ip_address": ours[0] if ours else place.address,
        "mac_address": mac,
        "connectivity_status": _connectivity(place, told, ours),
        "port_forwards": [ForwardWithVm(each, place.vm, place.host) for each in place.forwards],
        "type": place.vm.network.type,
        "source": "guest" if ours else "recorded",
    }


def _connectivity(place: NetworkPlace, told: list[JSON] | None, addresses: list[Any]) -> str:
    if place.host.offline_since is not None:
        return UNKNOWN
    if not place.running:
        return DISCONNECTED
    if told is None:
        return UNKNOWN
    return CONNECTED if addresses else DISCONNECTED
