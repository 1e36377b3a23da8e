# SPDX-License-Identifier: BSD-2-Clause
"""What a host needs before agents come to it: one file per kind."""
