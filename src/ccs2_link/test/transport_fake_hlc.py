"""Stand-in for `hlc`: answers each request with its octets reversed, and 'stop' with an end."""

import sys
import time

import rclpy
from rclpy.executors import ExternalShutdownException

from ccs2_interfaces.msg import V2GConnection, V2GRequest, V2GResponse
from ccs2_node import STREAM


def main():
    rclpy.init()
    node = rclpy.create_node('hlc')
    responses = node.create_publisher(V2GResponse, 'v2g/response', STREAM)

    def answer(request):
        while not responses.get_subscription_count():
            # The transport may have found this node a moment before it is found.
            time.sleep(0.01)
        data = bytes(request.data)
        if data == b'nonsense':
            response = V2GResponse(action=V2GResponse.ACTION_SEND, receive_timeout=-1.0)
        elif data == b'stop':
            response = V2GResponse(
                action=V2GResponse.ACTION_SEND_THEN_CLOSE, close_delay=0.1,
                data_link=V2GConnection.DATA_LINK_TERMINATE)
        else:
            response = V2GResponse(action=V2GResponse.ACTION_SEND, receive_timeout=60.0)
        response.stamp = node.get_clock().now().to_msg()
        response.connection_id = request.connection_id
        response.sequence = request.sequence
        response.payload_type = request.payload_type
        response.data = data[::-1]
        responses.publish(response)

    node.create_subscription(V2GRequest, 'v2g/request', answer, STREAM)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    return 0


if __name__ == '__main__':
    sys.exit(main())
