# SPDX-License-Identifier: BSD-2-Clause
"""Subnets, address slots, names, free /24s, collisions. Pure."""
