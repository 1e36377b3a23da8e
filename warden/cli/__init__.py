# SPDX-License-Identifier: BSD-2-Clause
"""The command line: parse, call, print. One file per verb or noun, no decisions."""
