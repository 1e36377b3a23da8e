# SPDX-License-Identifier: BSD-2-Clause
"""`python -m warden`."""

from warden.cli.main import run

run()
