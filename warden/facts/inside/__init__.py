# SPDX-License-Identifier: BSD-2-Clause
"""What is asked inside the jails of the agents: one question a service, and what is made of the answers."""
