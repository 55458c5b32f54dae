"""/images: the templates of VMs."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, TextField, UploadField, computed
from api.rest.schemas import SortingSchema, StrictSchema
from api.rest.shapes import ResultPage, Shape
from api.shared import image_adding, prefetching
from api.shared.words import IMAGE_NAME, OS_TYPES
from api.web.context import api_context
from api.web.views import mark
from core import images
from core.contract.images import ImageFile, ImageManifest, readable
from core.contract.messages import JSON
from core.models import Host
from core.services import hosts
from core.services.context import Actor
from core.services.paging import Ordering, Slice, cut

_ORDERING = Ordering(
    {
        "name": lambda manifest: manifest.name,
        "os_type": lambda manifest: manifest.os_type,
        "disk_size_gb": lambda manifest: manifest.disk_size_gb,
        "size_bytes": lambda manifest: manifest.size_bytes,
    },
    key=lambda manifest: manifest.name,
    by="name",
)


class ImageQuerySchema(SortingSchema):
    """Which images."""

    os_type = ChoiceField(*OS_TYPES)
    sort = ChoiceField(*_ORDERING.sorts)


class ImageCreationSchema(StrictSchema):
    """A new image: a qcow2 or raw disk; a kernel and initrd if the disk's own boot loader is not to be used."""

    name = TextField(required=True, longest=63, validate=IMAGE_NAME)
    disk = UploadField(required=True)
    kernel = UploadField()
    initrd = UploadField()
    cmdline = TextField(longest=images.MAX_TEXT, load_default="")
    os_type = ChoiceField(*OS_TYPES, load_default="linux")
    guest_agent = fields.Boolean(load_default=False)
    description = TextField(longest=images.MAX_TEXT, load_default="")


def _sha256(file: ImageFile | None) -> str | None:
    return None if file is None else file.sha256


class ImageSchema(Schema):
    """An image of the fleet. `hosts` have it; others get it when a VM there is to be made from it."""

    name = fields.String(required=True, attribute="manifest.name")
    digest = fields.String(required=True, attribute="manifest.digest")
    os_type = fields.String(required=True, attribute="manifest.os_type")
    format = fields.String(required=True, attribute="manifest.format")
    disk_size_gb = fields.Integer(required=True, attribute="manifest.disk_size_gb")
    size_bytes = fields.Integer(required=True, attribute="manifest.size_bytes")
    has_kernel = computed(fields.Boolean, lambda image: image["manifest"].kernel is not None)
    cmdline = fields.String(required=True, attribute="manifest.cmdline")
    guest_agent = fields.Boolean(required=True, attribute="manifest.guest_agent")
    description = fields.String(required=True, attribute="manifest.description")
    hosts = fields.List(fields.String(), required=True)
    disk_sha256 = fields.String(required=True, attribute="manifest.disk.sha256")
    kernel_sha256 = computed(fields.String, lambda image: _sha256(image["manifest"].kernel), allow_none=True)
    initrd_sha256 = computed(fields.String, lambda image: _sha256(image["manifest"].initrd), allow_none=True)


def blueprint(shape: Shape) -> Blueprint:
    """The resources, in a dialect."""
    blp = Blueprint("images", shape, "Images")

    @blp.route("/images")
    class ImagesView(MethodView):
        @blp.query(ImageQuerySchema)
        @blp.read_many("images", ImageSchema)
        def get(self, session: Session, actor: Actor, query: JSON) -> ResultPage:
            """List the fleet's images."""
            os_type = query.pop("os_type", None)
            stored = images.list_all(api_context().settings.images)
            found = [manifest for manifest in stored if os_type in (None, manifest.os_type)]
            among = hosts.all_of(session)
            shown = [_described(among, manifest) for manifest in cut(found, _ORDERING, Slice(**query))]
            return ResultPage(shown, len(found), query["limit"], query["offset"])

        @blp.slow_write(201, ImageSchema, Actor.must_administer)
        @blp.upload(ImageCreationSchema)
        @mark("uploads")
        def post(self, form: JSON) -> JSON:
            """Add an image, for administrators; uploaded files may be of any size."""
            paths: dict[str, Any] = {name: form.pop(name).path for name in ("disk", "kernel", "initrd") if name in form}
            manifest = image_adding.add(api_context().settings.images, **form, **paths, move=True)
            return {"manifest": manifest, "hosts": []}

    @blp.route("/images/<image_name>")
    class ImageView(MethodView):
        @blp.read_one(ImageSchema)
        def get(self, session: Session, actor: Actor, image_name: str) -> JSON:
            """Get an image."""
            return _described(hosts.all_of(session), images.get(api_context().settings.images, image_name))

        @blp.slow_write(204, None, Actor.must_administer)
        def delete(self, image_name: str) -> None:
            """Remove an image, for administrators; VMs created from it keep their disks."""
            images.remove(api_context().settings.images, image_name)

    prefetching.add(blp)
    return blp


def fleet_image(name: str) -> ImageManifest | None:
    """The fleet's own of that name, which hosts get from here; None where there is none that can be read."""
    return next(iter(readable(api_context().settings.images, [name])), None)


def _described(among: list[Host], manifest: ImageManifest) -> JSON:
    return {"manifest": manifest, "hosts": [host.name for host in among if _has(host, manifest)]}


def _has(host: Host, manifest: ImageManifest) -> bool:
    """By content, as far as the host's agent tells that; an older one's word is the name."""
    told = host.facts.image_contents
    return manifest.digest in told if told else manifest.name in host.images
