"""The MAC addresses of VMs."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base


class MacAddress(Base):
    """A MAC address drawn at random; it is free again once its VM is deleted. On bridges they follow from addresses."""

    __tablename__ = "mac_addresses"

    address: Mapped[str] = mapped_column(primary_key=True)
    vm_id: Mapped[str]
