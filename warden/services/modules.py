# SPDX-License-Identifier: BSD-2-Clause
"""Every service that Warden knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.services import cms, db, git, llama_cpp, ollama

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warden.services.shape import ServiceModule

MODULES: Mapping[str, ServiceModule] = {
    module.service: module for module in (git.MODULE, cms.MODULE, llama_cpp.MODULE, ollama.MODULE, db.MODULE)
}
"""A new service is registered by its name here."""
