# SPDX-License-Identifier: BSD-2-Clause
"""What the operator wrote, validated: `warden.toml` or a directory's `.env`."""
