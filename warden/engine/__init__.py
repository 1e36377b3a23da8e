# SPDX-License-Identifier: BSD-2-Clause
"""Plan, apply, lock, verify."""
