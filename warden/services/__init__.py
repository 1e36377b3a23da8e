# SPDX-License-Identifier: BSD-2-Clause
"""What runs inside the service jails: one module a service, all of one shape."""
