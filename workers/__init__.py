"""The control plane's Celery app: receives reports, sweeps, schedules; no HTTP, no hypervisor."""
