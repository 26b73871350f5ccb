#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "server/persistence/log.h"
#include "server/persistence/log_format.h"

namespace sluice::server {
namespace {

template <typename Bytes>
std::string_view View(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(&bytes), sizeof(bytes)};
}

}  // namespace

std::string LogName(std::uint64_t number) {
  return fmt::format("log-{:010}", number);
}

std::uint64_t LogFrames::BytesOf(std::uint64_t payload_bytes) {
  return sizeof(FrameBytes) + Padded(payload_bytes);
}

void LogFrames::Add(std::string_view payload) {
  const std::size_t before = bytes_.size();
  const std::uint64_t bytes = BytesOf(payload.size());
  bytes_.resize(before + bytes);  // grows by factors, as push_back() does
  const FrameBytes frame = {.length = static_cast<std::uint32_t>(payload.size())};
  std::memcpy(bytes_.data() + before, &frame, sizeof(frame));
  payload.copy(bytes_.data() + before + sizeof(frame), payload.size());
}

LogWriter::LogWriter(File file, const LogStart& start)
    : file_(std::move(file)),
      salt_(start.salt),
      bytes_(sizeof(StartBytes)),
      written_(start.first - 1),
      synced_(start.first - 1) {}

Result<LogWriter> LogWriter::Create(Folder& folder, const LogStart& start) {
  TRY_ASSIGN(File file, folder.Open(LogName(start.number), FileSystem::Mode::kCreate));
  StartBytes bytes = {.number = start.number, .first = start.first, .salt = start.salt};
  bytes.hash = bytes.Hash();
  TRY(file.Write(0, View(bytes)));
  TRY(file.Sync());
  TRY(folder.Sync());
  return LogWriter(std::move(file), start);
}

Status LogWriter::Write(LogFrames& frames) {
  TRY(failed_);
  std::string& bytes = frames.bytes_;
  Sequence sequence = written_;
  for (std::size_t at = 0; at < bytes.size();) {
    FrameBytes frame;
    std::memcpy(static_cast<void*>(&frame), bytes.data() + at, sizeof(frame));
    const std::string_view payload(bytes.data() + at + sizeof(frame), frame.length);
    frame.sequence = ++sequence;
    frame.synced = synced_;
    frame.payload_hash = HashBytes(payload, salt_);
    frame.hash = frame.Hash(salt_);
    std::memcpy(bytes.data() + at, &frame, sizeof(frame));
    at += LogFrames::BytesOf(frame.length);
  }
  TRY(file_.Write(bytes_, bytes));
  bytes_ += bytes.size();
  written_ = sequence;
  bytes.clear();
  return {};
}

Status LogWriter::Sync() {
  TRY(failed_);
  failed_ = file_.Sync();
  TRY(failed_);
  synced_ = written_;
  return {};
}

}  // namespace sluice::server
