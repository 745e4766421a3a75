"""Costs of a tracker."""
