#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include <sys/socket.h>
#include <sys/uio.h>

namespace sluice::bench {

// Head, payload, tail: the parts of one request or reply.
using Buffers = std::array<iovec, 3>;

inline iovec BufferOf(std::string_view bytes) {
  return {.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
}

inline std::size_t TotalBytes(const Buffers& buffers) {
  return buffers[0].iov_len + buffers[1].iov_len + buffers[2].iov_len;
}

// Drops `bytes` from the front.
inline void Advance(Buffers& buffers, std::size_t bytes) {
  for (iovec& buffer : buffers) {
    const std::size_t step = std::min(bytes, buffer.iov_len);
    buffer.iov_base = static_cast<char*>(buffer.iov_base) + step;
    buffer.iov_len -= step;
    bytes -= step;
  }
}

// The message made of the first `count` buffers, which must outlive it.
inline msghdr MessageOf(Buffers& buffers, std::size_t count = 3) {
  msghdr message{};
  message.msg_iov = buffers.data();
  message.msg_iovlen = count;
  return message;
}

}  // namespace sluice::bench
