# SPDX-License-Identifier: BSD-2-Clause
"""The door: everything that Warden does to a host passes through `Host`."""
