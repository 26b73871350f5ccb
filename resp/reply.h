// Reply: what waits to be sent to one peer. Append-only at one end, consumed by the socket at the
// other.
//
// Small things are copied to scratch blocks of its own; payloads are references into memory that
// somebody pins until it is sent. It knows the peer's protocol version: a map is a flat array in
// RESP2, null is "$-1" or "_", and so on, so handlers never ask which it is.
//
//   consumed -> | piece | piece | piece ... | <- appended
//
//   piece: bytes of a scratch block, or a slice of somebody's memory
//
// Appending may throw std::bad_alloc, or NoRoom where the source of its blocks refuses; Rewind()
// then takes back the half-written reply, and after a successful Prepare() the bytes of one error
// always fit. One caller at a time.
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

// Keeps somebody's memory alive: `release(object)` is called once, when the memory is no longer
// needed. Move-only.
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
  // Bytes of the error text that always fits after Prepare(). Longer ones are cut.
  static constexpr std::size_t kErrorBytesMax = 1024;

  // `source` is borrowed; null: nobody counts.
  explicit Reply(BlockSource* source = nullptr) : source_(source) {}
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;
  ~Reply();

  [[nodiscard]] Version GetVersion() const;
  void SetVersion(Version version);

  // One element each. Texts of Simple and Error lose CR and LF (each becomes a space).
  void Simple(std::string_view text);
  void Error(std::string_view text);  // "ERR ..." with its code, without the '-'; never allocates
                                      // after Prepare()
  void Integer(std::int64_t value);
  void Bulk(std::string_view bytes);  // copied
  void Double(double value);  // RESP2: a bulk string; shortest text that reads back the same
  void Bool(bool value);      // RESP2: :1 or :0
  void Null();
  void NullArray();
  void Verbatim(std::string_view text);  // "txt"; RESP2: a bulk string

  // Headers: the elements follow, `count` of them (for Map: count pairs).
  void Array(std::size_t count);
  void Map(std::size_t count);
  void Set(std::size_t count);
  void Push(std::size_t count);

  // A bulk string of `bytes` bytes in slices: BeginPayload, then Copy() and Reference() calls that
  // sum up to exactly `bytes` (asserted), then EndPayload.
  void BeginPayload(std::size_t bytes);
  void Copy(std::string_view bytes);
  // Borrowed until sent: Hold() what keeps it alive before anything else can free it. A slice that
  // continues the one before it in memory is merged with it.
  void Reference(std::string_view bytes);
  void EndPayload();
  // `pin` is released once everything appended so far is sent or the reply is dropped.
  void Hold(Pin pin);

  // Makes sure that an Error() fits without allocation, and says where the next reply begins.
  // Errors: std::bad_alloc.
  struct Mark {
    std::uint64_t position = 0;
    std::size_t payload_left = 0;
  };
  Mark Prepare();
  // Makes sure that the next `bytes` bytes copied to scratch need no memory either: for a command
  // that must not fail any more once it has acted. Errors: std::bad_alloc.
  void Reserve(std::size_t bytes);
  // The same for a reply that is made in pieces: false where there is no room now.
  [[nodiscard]] bool MakeSpace(std::size_t bytes) noexcept;
  // For one scratch block more. (What Prepare() promises is there without it.)
  [[nodiscard]] bool HasSpace() const;
  // The last MakeRoom() since Prepare() was false.
  [[nodiscard]] bool Refused() const { return refused_; }
  // Takes back all that was appended since `mark`. REQUIRES: nothing of it was consumed. Pins of
  // what is taken back are released.
  void Rewind(Mark mark) noexcept;

  // How many bytes were ever appended (but for what was taken back), and consumed.
  [[nodiscard]] std::uint64_t Appended() const { return appended_; }
  [[nodiscard]] std::uint64_t Consumed() const { return consumed_; }
  // Bytes that wait to be sent, and how many of them are in scratch blocks (memory of our own).
  [[nodiscard]] std::size_t PendingBytes() const;
  [[nodiscard]] std::size_t ScratchBytes() const;
  // Memory of the scratch blocks, in use or kept for the next reply.
  [[nodiscard]] std::size_t CapacityBytes() const;

  // Fills `buffers` with the first pending bytes, at most `bytes_max` of them. Returns how many
  // buffers were filled; the pointers stay valid until Consume or Rewind (appending does not move
  // them).
  [[nodiscard]] std::size_t Gather(std::span<iovec> buffers, std::size_t bytes_max) const;
  // The first `bytes` pending bytes were sent.
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
    std::uint64_t end = 0;  // nothing at or after this position lies in it; set when it is full
  };
  struct Held {
    std::uint64_t position = 0;  // released when all before it was consumed
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
  std::size_t payload_left_ = 0;  // of the payload that was begun

  Ring<Piece> pieces_;  // [consumed_, appended_)
  Ring<Held> pins_;
  Ring<Block> blocks_;  // oldest first; the last one is written to at write_
  std::vector<std::unique_ptr<char[]>>
      spares_;             // blocks for later: one, or what Reserve() asked for
  char* write_ = nullptr;  // null: no block
  bool refused_ = false;
};

}  // namespace sluice::resp
