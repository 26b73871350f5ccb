#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "server/persistence/log.h"
#include "server/persistence/log_format.h"

namespace sluice::server {
namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 20;

Status Corrupt(const File& file, std::uint64_t offset, std::string_view what) {
  return Status(Code::kError,
                fmt::format("{}: corrupt at offset {}: {}", file.Path(), offset, what));
}

// Returns the offset behind the last byte from `offset` on that is not zero; `offset` if there is
// none.
Result<std::uint64_t> EndOfBytes(File& file, std::uint64_t offset) {
  std::vector<char> buffer(kReadBytes);
  std::uint64_t end = offset;
  for (;;) {
    TRY_ASSIGN(const std::size_t read, file.Read(offset, buffer));
    const auto last = std::find_if(buffer.rend() - static_cast<std::ptrdiff_t>(read), buffer.rend(),
                                   [](char byte) { return byte != 0; });
    if (last != buffer.rend()) {
      end = offset + static_cast<std::uint64_t>(buffer.rend() - last);
    }
    offset += read;
    if (read < buffer.size()) {
      return end;
    }
  }
}

// Reads frames one after another.
class Reader {
 public:
  Reader(File& file, const LogStart& start, std::uint64_t file_bytes)
      : file_(file), salt_(start.salt), file_bytes_(file_bytes) {}

  // Returns the good frame at `offset` with this sequence, or nullopt.
  Result<std::optional<FrameBytes>> FrameAt(std::uint64_t offset, Sequence sequence) {
    TRY_ASSIGN(const std::optional<FrameBytes> frame, HeadAt(offset));
    if (!frame || frame->sequence != sequence) {
      return std::optional<FrameBytes>();
    }
    payload_.resize(frame->length);
    TRY_ASSIGN(const std::size_t read, file_.Read(offset + sizeof(FrameBytes), payload_));
    if (read < payload_.size() || HashBytes(Payload(), salt_) != frame->payload_hash) {
      return std::optional<FrameBytes>();
    }
    return frame;
  }
  [[nodiscard]] std::string_view Payload() const { return {payload_.data(), payload_.size()}; }

  // Returns the offset of a frame from `offset` on which says that `sequence` was on disk, or
  // nullopt.
  Result<std::optional<std::uint64_t>> FrameAfterSync(std::uint64_t offset, Sequence sequence) {
    std::vector<char> buffer(kReadBytes + sizeof(FrameBytes));
    for (; offset + sizeof(FrameBytes) <= file_bytes_; offset += kReadBytes) {
      TRY_ASSIGN(const std::size_t read, file_.Read(offset, buffer));
      for (std::size_t i = 0; i < kReadBytes && i + sizeof(FrameBytes) <= read;
           i += kFrameAlignment) {
        FrameBytes frame;
        std::memcpy(static_cast<void*>(&frame), buffer.data() + i, sizeof(frame));
        if (frame.IsGood(salt_) && frame.synced >= sequence) {
          return std::optional(offset + i);
        }
      }
    }
    return std::optional<std::uint64_t>();
  }

 private:
  // Returns the head of the frame at `offset` if it is good and its payload ends within the file.
  Result<std::optional<FrameBytes>> HeadAt(std::uint64_t offset) {
    std::array<char, sizeof(FrameBytes)> bytes = {};
    TRY_ASSIGN(const std::size_t read, file_.Read(offset, bytes));
    FrameBytes frame;
    std::memcpy(static_cast<void*>(&frame), bytes.data(), sizeof(frame));
    if (read < bytes.size() || !frame.IsGood(salt_) ||
        frame.length > file_bytes_ - offset - sizeof(frame)) {
      return std::optional<FrameBytes>();
    }
    return std::optional(frame);
  }

  File& file_;
  std::uint64_t salt_;
  std::uint64_t file_bytes_;
  std::vector<char> payload_;
};

}  // namespace

Result<std::optional<LogStart>> ReadLogStart(File& file) {
  std::array<char, sizeof(StartBytes)> bytes = {};
  TRY_ASSIGN(const std::size_t read, file.Read(0, bytes));
  StartBytes start;
  std::memcpy(static_cast<void*>(&start), bytes.data(), sizeof(start));
  if (read == bytes.size() && start.magic == StartBytes::kMagic && start.hash == start.Hash()) {
    return std::optional(
        LogStart{.number = start.number, .first = start.first, .salt = start.salt});
  }
  TRY_ASSIGN(const std::uint64_t end, EndOfBytes(file, sizeof(start)));
  if (end > sizeof(start)) {  // frames are written once the start is on disk
    return Corrupt(file, 0, "no start of a log, but something behind it");
  }
  return std::optional<LogStart>();
}

Result<LogEnd> ReadLog(File& file, const LogStart& start, const ApplyFrame& apply) {
  TRY_ASSIGN(const std::uint64_t file_bytes, file.Size());
  Reader reader(file, start, file_bytes);
  LogEnd end = {.last = start.first - 1, .bytes = sizeof(StartBytes)};
  for (;;) {
    TRY_ASSIGN(const std::optional<FrameBytes> frame, reader.FrameAt(end.bytes, end.last + 1));
    if (!frame) {
      break;
    }
    TRY(apply(frame->sequence, reader.Payload()));
    end.last = frame->sequence;
    end.bytes += sizeof(FrameBytes) + Padded(frame->length);
  }
  TRY_ASSIGN(const std::optional<std::uint64_t> proof,
             reader.FrameAfterSync(end.bytes, end.last + 1));
  if (proof) {
    return Corrupt(
        file, end.bytes,
        fmt::format("frame {} is bad, and the frame at offset {} says that it was on disk",
                    end.last + 1, *proof));
  }
  TRY_ASSIGN(const std::uint64_t last_byte, EndOfBytes(file, end.bytes));
  end.torn_bytes = last_byte - std::min(last_byte, end.bytes);
  return end;
}

}  // namespace sluice::server
