"""Files in guests: uploaded, downloaded and listed; their bytes are streamed, and stored nowhere on the way."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from flask.views import MethodView
from marshmallow import Schema, fields

from api.auditing import audit
from api.auth.identity import actor
from api.rest.blueprint import Blueprint
from api.rest.fields import GuestTextField, MomentField, NumberField, TextField, UploadField
from api.rest.forms import Form
from api.rest.schemas import StrictSchema
from api.rest.shapes import Shape
from api.shared import transfers
from api.shared.words import GUEST_FILE, GUEST_PATH, PERMISSIONS
from api.web.context import api_context
from api.web.views import mark
from core.contract.messages import JSON
from core.contract.texts import PATH_BYTES
from core.services import calls

_LIST_SECONDS = 45.0  # the guest has 30
_ABSOLUTE = {"description": f"an absolute path of at most {PATH_BYTES} bytes"}


class FileUploadSchema(StrictSchema):
    """A file, and where it goes in the guest. Folders on the way are made.

    A regular file that is there is replaced, in one step, and leaves its owner to the new one; a link is followed.
    Devices, sockets, pipes and folders are not replaced.
    """

    file = UploadField(required=True)
    path = GuestTextField(required=True, shortest=2, longest=PATH_BYTES, validate=GUEST_FILE)
    permissions = TextField(
        load_default=None,
        validate=PERMISSIONS,
        metadata={"description": "in octal (default: those of the file that is replaced, or 644)", "example": "644"},
    )


class FileUploadedSchema(Schema):
    """A file that is whole at its place."""

    message = fields.String(required=True)
    vm_name = fields.String(required=True)
    remote_path = fields.String(required=True)
    size_bytes = fields.Integer(required=True)
    uploaded_at = MomentField(required=True)


class FileDownloadSchema(Schema):
    """Which file."""

    path = GuestTextField(required=True, shortest=1, longest=PATH_BYTES, validate=GUEST_PATH, metadata=_ABSOLUTE)


class FileQuerySchema(Schema):
    """Which folder. Without `limit` all is listed that is, up to 10,000 entries."""

    path = GuestTextField(load_default="/", shortest=1, longest=PATH_BYTES, validate=GUEST_PATH, metadata=_ABSOLUTE)
    recursive = fields.Boolean(load_default=False)
    limit = NumberField(1, 100, strict=False, load_default=None, metadata={"description": "maximum number of results"})
    offset = NumberField(0, 2**31 - 1, strict=False, load_default=0, metadata={"description": "results to skip"})


class FileSchema(Schema):
    """One entry of a folder. Links are listed and not followed; a name that is not UTF-8 has U+FFFD in it."""

    name = fields.String(required=True)
    path = fields.String(required=True)
    size_bytes = fields.Integer(required=True)
    is_directory = fields.Boolean(required=True)
    permissions = fields.String(required=True)
    modified_at = MomentField(required=True)
    type = fields.String(required=True, metadata={"enum": ["file", "directory", "symlink", "other"]})


class FileListingSchema(Schema):
    """What is in a folder, by path. `truncated`: there is more than is listed at most."""

    files = fields.List(fields.Nested(FileSchema), required=True)
    directory = fields.String(required=True)
    total = fields.Integer(required=True)
    truncated = fields.Boolean(required=True)


def blueprint(shape: Shape) -> Blueprint:
    """The resources, in a dialect."""
    blp = Blueprint("files", shape, "Files in virtual machines")

    @blp.route("/vms/<vm_name>/files/upload")
    class FileUploadView(MethodView):
        @blp.respond(200, FileUploadedSchema, kind="call")
        @blp.streamed_form(FileUploadSchema)
        @mark("uploads")
        def post(self, vm_name: str) -> Any:
            """Upload a file to a virtual machine; it may be of any size."""
            question = _of(vm_name, changes=True)
            form = Form(request, FileUploadSchema(exclude=("file",)), "file")
            made = transfers.upload(question, form, FileUploadedSchema())
            return made if isinstance(made, dict) else blp.replay(200, made)

    @blp.route("/vms/<vm_name>/files/download")
    class FileDownloadView(MethodView):
        @blp.query(FileDownloadSchema)
        @blp.respond_bytes()
        @mark("audited")
        def get(self, query: JSON, vm_name: str) -> Response:
            """Download a file, or with `Range` a part of it, from a virtual machine."""
            return transfers.download(_of(vm_name, changes=False), query["path"])

    @blp.route("/vms/<vm_name>/files")
    class FilesView(MethodView):
        @blp.query(FileQuerySchema)
        @blp.respond(200, FileListingSchema, kind="question")
        @mark("audited")
        def get(self, query: JSON, vm_name: str) -> JSON:
            """List files in a directory on a virtual machine."""
            host, vm = _of(vm_name, changes=False)
            asked = {"path": query["path"], "recursive": query["recursive"], "most": transfers.MOST_ENTRIES}
            return transfers.listing(query, api_context().hub.call(host, "file_list", vm, asked, _LIST_SECONDS))

    return blp


def _of(vm_name: str, *, changes: bool) -> transfers.Asked:
    with api_context().transaction() as session:
        found = calls.to_files(session, actor(), vm_name, changes=changes)
        audit.asking(session)
        return found
