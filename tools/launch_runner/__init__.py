"""Run the workspace's XML launch files where ROS 2's own `ros2 launch` is not installed.

The tags, attributes and substitutions understood here are a subset of what launch_xml of ROS 2
Jazzy accepts, with the same meaning, so that the same files run under both. Anything outside the
subset is an error that names the place: nothing is silently ignored.
"""
