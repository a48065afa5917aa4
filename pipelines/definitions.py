"""What `workspace.yaml` loads."""

from pipelines.orchestration.definitions import defs

__all__ = ["defs"]
