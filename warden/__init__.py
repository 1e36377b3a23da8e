# SPDX-License-Identifier: BSD-2-Clause
"""Warden: a FreeBSD jail and bhyve host orchestrator for AI agents."""

__version__ = "0.1.0"
