"""Cloud Hypervisor: small and quick, for Linux guests under KVM; one process a VM, spoken to over its REST API."""

from agent.drivers.cloud_hypervisor.driver import CloudHypervisorDriver

__all__ = ["CloudHypervisorDriver"]
