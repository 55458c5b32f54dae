"""The control plane's Celery workers: receive reports, sweep, schedule; no HTTP, no hypervisor."""
