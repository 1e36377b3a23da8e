# SPDX-License-Identifier: BSD-2-Clause
"""A FreeBSD host in memory: the same argv as the real machine, the same answers."""
