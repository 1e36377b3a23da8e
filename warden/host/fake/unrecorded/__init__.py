# SPDX-License-Identifier: BSD-2-Clause
"""Programs that no recorded session has, most of them of packages: one file a family.

Each file says from which manual it speaks, and brings what its package installs. Importing `programs` registers them.
"""
