// Reply: the output queue of one connection. Handlers append to one end, the socket consumes from
// the other.
//
// Small elements are copied to the reply's own scratch blocks. Payloads are references into memory
// that is pinned until sent. The reply encodes for the connection's protocol version (in RESP2 a
// map is a flat array, null is "$-1" and not "_", and so on), so handlers do not check the version.
//
//   consumed -> | piece | piece | piece ... | <- appended
//
//   piece: bytes of a scratch block, or a slice of borrowed memory
//
// Appending may throw std::bad_alloc, or NoSpace if the block source refuses. Rewind() then removes
// the half-written reply. After a successful Prepare(), one error always fits.
//
// Thread safety: one caller at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/uio.h>

#include "resp/block_source.h"
#include "resp/ring.h"

namespace sluice::resp {

enum class Version : std::uint8_t { k2 = 2, k3 = 3 };

// Keeps borrowed memory alive: calls `release(object)` once, when the memory is no longer needed.
// Move-only.
class Pin {
 public:
  using Release = void (*)(void*) noexcept;
  Pin() = default;
  Pin(void* object, Release release) : object_(object), release_(release) {}
  Pin(Pin&& other) noexcept
      : object_(std::exchange(other.object_, nullptr)), release_(other.release_) {}
  Pin& operator=(Pin&& other) noexcept {
    std::swap(object_, other.object_);
    std::swap(release_, other.release_);
    return *this;
  }
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;
  ~Pin() {
    if (object_ != nullptr) {
      release_(object_);
    }
  }

 private:
  void* object_ = nullptr;
  Release release_ = nullptr;
};

class Reply {
 public:
  // Bytes of the error text that always fits after Prepare(). Longer texts are truncated.
  static constexpr std::size_t kErrorBytesMax = 1024;

  // `source` is borrowed. Null: scratch memory is not charged.
  explicit Reply(BlockSource* source = nullptr) : source_(source) {}
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;
  ~Reply();

  [[nodiscard]] Version GetVersion() const;
  void SetVersion(Version version);

  // Each appends one element. In Simple and Error texts, each CR and LF becomes a space.
  void Simple(std::string_view text);
  void Error(std::string_view text);  // "ERR ...": with the code, without the '-'; does not
                                      // allocate after Prepare()
  void Integer(std::int64_t value);
  void Bulk(std::string_view bytes);  // copied
  void Double(double value);          // RESP2: a bulk string; shortest text that parses to `value`
  void Null();
  void NullArray();
  void Verbatim(std::string_view text);  // "txt"; RESP2: a bulk string

  // Headers of aggregates: the caller then appends `count` elements (Map: `count` pairs).
  void Array(std::size_t count);
  void Map(std::size_t count);
  void Set(std::size_t count);
  void Push(std::size_t count);

  // A bulk string of `bytes` bytes in slices: BeginPayload(), then Copy() and Reference() calls of
  // exactly `bytes` bytes in total (asserted), then EndPayload().
  void BeginPayload(std::size_t bytes);
  void Copy(std::string_view bytes);
  // `bytes` is borrowed until sent: call Hold() with its pin before anything can free it. A slice
  // that is adjacent in memory to the previous slice is merged with it.
  void Reference(std::string_view bytes);
  void EndPayload();
  // Releases `pin` when everything appended so far is sent, or when the reply is destroyed.
  void Hold(Pin pin);

  struct Mark {
    std::uint64_t position = 0;
    std::size_t payload_left = 0;
  };
  // Ensures that an Error() needs no allocation. Returns the position where the next reply begins.
  // Errors: std::bad_alloc.
  Mark Prepare();
  // Ensures that the next `bytes` bytes copied to scratch need no allocation, for a command that
  // must not fail after it has acted. Errors: std::bad_alloc.
  void Reserve(std::size_t bytes);
  // Like Reserve(), for a reply that is made in pieces. Returns false if there is no space now.
  [[nodiscard]] bool MakeSpace(std::size_t bytes) noexcept;
  // True if a scratch block is available beyond the one that Prepare() set aside.
  [[nodiscard]] bool HasSpace() const;
  // True if the last MakeSpace() since Prepare() returned false.
  [[nodiscard]] bool Refused() const { return refused_; }
  // Removes everything appended since `mark` and releases its pins. REQUIRES: none of it was
  // consumed.
  void Rewind(Mark mark) noexcept;

  // Total bytes appended (without those removed by Rewind()) and total bytes consumed.
  [[nodiscard]] std::uint64_t Appended() const { return appended_; }
  [[nodiscard]] std::uint64_t Consumed() const { return consumed_; }
  // Bytes not sent yet, and how many of them are in scratch blocks.
  [[nodiscard]] std::size_t PendingBytes() const;
  [[nodiscard]] std::size_t ScratchBytes() const;
  // Memory of all scratch blocks, in use or kept for the next reply.
  [[nodiscard]] std::size_t CapacityBytes() const;

  // Fills `buffers` with the first pending bytes, at most `bytes_max`. Returns the number of
  // buffers filled. The pointers stay valid until Consume() or Rewind(); appending does not move
  // them.
  [[nodiscard]] std::size_t Gather(std::span<iovec> buffers, std::size_t bytes_max) const;
  // Removes the first `bytes` pending bytes, which were sent.
  void Consume(std::size_t bytes) noexcept;

 private:
  // All positions count bytes since the reply was made.
  struct Piece {
    const char* data = nullptr;
    std::size_t bytes = 0;
    bool scratch = false;
  };
  struct Block {
    std::unique_ptr<char[]> bytes;
    std::uint64_t end = 0;  // end position of the block's bytes; set when the block is full
  };
  struct Held {
    std::uint64_t position = 0;  // released when everything before it is consumed
    Pin pin;
  };

  void Header(char marker, std::int64_t number);
  void Line(char marker, std::string_view text);
  void Append(std::string_view bytes);
  char* Contiguous(std::size_t bytes);
  void Written(const char* end);
  [[nodiscard]] std::size_t SpaceInBlock() const;
  [[nodiscard]] std::unique_ptr<char[]> NewBlock(bool must);
  void StartBlock(bool must = false);
  void Recycle(Block block) noexcept;
  void ForgetConsumed() noexcept;

  BlockSource* source_;
  Version version_ = Version::k2;
  std::uint64_t appended_ = 0;
  std::uint64_t consumed_ = 0;
  std::size_t scratch_pending_ = 0;
  std::size_t payload_left_ = 0;  // of the current payload

  Ring<Piece> pieces_;  // [consumed_, appended_)
  Ring<Held> pins_;
  Ring<Block> blocks_;  // oldest first; write_ points into the last one
  std::vector<std::unique_ptr<char[]>>
      spares_;             // unused blocks: one, or as many as Reserve() asked for
  char* write_ = nullptr;  // null if there is no block
  bool refused_ = false;
};

}  // namespace sluice::resp
