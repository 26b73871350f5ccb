// The bytes of a log file: see log.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/hash.h"

namespace sluice::server {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian");

struct StartBytes {
  static constexpr std::uint64_t kMagic = 0x31304743494C5553;  // "SULICG01"
  std::uint64_t magic = kMagic;
  std::uint64_t number = 0;
  std::uint64_t first = 0;
  std::uint64_t salt = 0;
  std::uint64_t zero = 0;
  std::uint64_t hash = 0;  // of the above

  [[nodiscard]] std::uint64_t Hash() const {
    char bytes[offsetof(StartBytes, hash)];
    std::memcpy(bytes, this, sizeof(bytes));
    return HashBytes({bytes, sizeof(bytes)}, kMagic);
  }
};
static_assert(sizeof(StartBytes) == 48);

struct FrameBytes {
  static constexpr std::uint32_t kMagic = 0x454D5246;  // "FRME"
  std::uint32_t magic = kMagic;
  std::uint32_t length = 0;  // of the payload
  std::uint64_t sequence = 0;
  std::uint64_t synced = 0;  // the log was on disk up to this sequence
  std::uint64_t payload_hash = 0;
  std::uint64_t hash = 0;  // of the above

  [[nodiscard]] std::uint64_t Hash(std::uint64_t salt) const {
    char bytes[offsetof(FrameBytes, hash)];
    std::memcpy(bytes, this, sizeof(bytes));
    return HashBytes({bytes, sizeof(bytes)}, salt);
  }
  [[nodiscard]] bool IsGood(std::uint64_t salt) const {
    return magic == kMagic && hash == Hash(salt);
  }
};
static_assert(sizeof(FrameBytes) == 40);

constexpr std::size_t kFrameAlignment = 8;

constexpr std::uint64_t Padded(std::uint64_t bytes) {
  return (bytes + kFrameAlignment - 1) / kFrameAlignment * kFrameAlignment;
}

}  // namespace sluice::server
