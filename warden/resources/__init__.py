# SPDX-License-Identifier: BSD-2-Clause
"""One file per kind of thing on a host: what is wanted, what is found, what leads from one to the other."""
