# Source this file: ROS 2 and the built workspace, as `make` uses them.
_ccs2_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ ! -f "$_ccs2_root/.venv/setup.bash" ]; then
  echo "the workspace is not set up; run 'make build' in $_ccs2_root" >&2
  return 1 2>/dev/null || exit 1
fi
. "$_ccs2_root/.venv/setup.bash"
[ ! -f "$_ccs2_root/install/local_setup.bash" ] || . "$_ccs2_root/install/local_setup.bash"
# Without this an int in a float field of a message arrives as 0.0.
export ROS_PYTHON_CHECK_FIELDS=1
# Modules come from the environment, never from the folder that a command happens to run in.
export PYTHONSAFEPATH=1
export ROS_LOG_DIR=${ROS_LOG_DIR:-$_ccs2_root/log/ros}
# Everything of one machine stays on its loopback interface; a launch file's `dds_profile` changes it.
export ROS_AUTOMATIC_DISCOVERY_RANGE=${ROS_AUTOMATIC_DISCOVERY_RANGE:-SYSTEM_DEFAULT}
export FASTRTPS_DEFAULT_PROFILES_FILE=${FASTRTPS_DEFAULT_PROFILES_FILE:-$_ccs2_root/launch/config/dds_loopback.xml}
unset _ccs2_root
