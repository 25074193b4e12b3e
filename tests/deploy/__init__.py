"""Tests of what deploy/ has: the unit, the container, the Helm chart."""
