# SPDX-License-Identifier: BSD-2-Clause
"""What a host has: one probe in one batch, and one pure parser per command's output."""
