"""Sparkplug B 3.0.0, for hosts that find stations by their birth certificates: values only, never commands.

Names such as `payloads-ndeath-will-message-qos` are those of the specification's requirements.
"""
