// A log file of the journal: frames, each with a payload that the journal knows how to apply.
//
//   | start: 48 bytes | frame | frame | ... | zeros: space reserved for more |
//   start:  magic, number of the log, sequence of its first frame, salt, two hashes
//   frame:  magic, length, sequence, synced, hash of the payload, hash of these | payload | 0 to 7
//   zeros
//
// All numbers are little-endian. Hashes are XXH3 with the log's salt as seed, so bytes that a
// client stores are never taken for a frame.
//
// **Torn or corrupt.** A machine that loses power may lose or tear any write since the last sync.
// So the first bad frame ends the log, and what is behind it is cut off. But a frame also says up
// to which sequence the log was synced when it was added. If a good frame behind a bad one says
// that the bad one was synced, then it was once on disk: the file is corrupt, and reading it fails.
//
// A log is never appended to after it was read: a new one begins.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "server/persistence/file.h"

namespace sluice::server {

using Sequence = std::uint64_t;  // of a frame: counts up through all logs, from 1

struct LogStart {
  std::uint64_t number = 0;
  Sequence first = 1;
  std::uint64_t salt = 0;  // random
};

// "log-0000000042".
std::string LogName(std::uint64_t number);

// Frames on their way to a log, in the order of Add().
// Thread safety: one caller at a time.
class LogFrames {
 public:
  // Errors: std::bad_alloc; nothing changed then. REQUIRES: payload.size() < 2^32.
  void Add(std::string_view payload);
  [[nodiscard]] bool Empty() const { return bytes_.empty(); }
  [[nodiscard]] std::uint64_t Bytes() const { return bytes_.size(); }
  // Bytes that a frame takes in the file.
  static std::uint64_t BytesOf(std::uint64_t payload_bytes);
  void Swap(LogFrames& other) noexcept { bytes_.swap(other.bytes_); }

 private:
  friend class LogWriter;
  std::string bytes_;  // as in the file, but LogWriter fills the heads
};

class LogWriter {
 public:
  // Creates the file; it and its name are on disk then. Errors: as File, Folder.
  static Result<LogWriter> Create(Folder& folder, const LogStart& start);

  // Reserves space on disk up to this size of the file. Errors: as File; nothing changed then.
  // Thread safety: any thread, also while another one writes or syncs.
  Status Reserve(std::uint64_t file_bytes) { return file_.Reserve(file_bytes); }

  // The other functions: one caller at a time. All fail after an error of Sync(): the kernel may
  // have dropped what it could not write, so no later sync is to be trusted.

  // Writes the frames and empties `frames`. Errors: as File; then the same frames must be written
  // before others.
  Status Write(LogFrames& frames);
  // Waits until all written frames are on disk. Errors: as File.
  Status Sync();

  [[nodiscard]] Sequence Written() const { return written_; }
  [[nodiscard]] Sequence Synced() const { return synced_; }
  [[nodiscard]] std::uint64_t Bytes() const { return bytes_; }  // of the file, without reserve

 private:
  LogWriter(File file, const LogStart& start);

  File file_;
  std::uint64_t salt_;
  std::uint64_t bytes_;
  Sequence written_;
  Sequence synced_;
  Status failed_;  // of Sync()
};

struct LogEnd {
  Sequence last = 0;             // of the last good frame; first - 1 if there is none
  std::uint64_t bytes = 0;       // up to its end
  std::uint64_t torn_bytes = 0;  // behind it, up to the last byte that is not zero
};

// Returns nullopt if the file was still being created when the machine stopped: it has no frame.
// Errors: as File; kError that names file and offset if the start is corrupt.
Result<std::optional<LogStart>> ReadLogStart(File& file);
// Calls apply(sequence, payload) for each frame, in order, and stops at its first error. A file
// that is to be used again must be truncated to LogEnd::bytes. Errors: those of `apply`; as File;
// kError that names file and offset if the log is corrupt.
using ApplyFrame = std::function<Status(Sequence sequence, std::string_view payload)>;
Result<LogEnd> ReadLog(File& file, const LogStart& start, const ApplyFrame& apply);

}  // namespace sluice::server
