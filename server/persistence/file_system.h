// FileSystem: the system calls on files of the data directory. All access to it goes through here,
// so that tests can make each call fail, and can ask what a machine that lost power would find.
//
// A folder is named by its descriptor, and a file by a name in a folder, without '/': no name leads
// out of the data directory. Each call returns what it should, or -errno. Calls may be short or
// interrupted, as the kernel's: File and Folder (file.h) repeat them.
//
// Thread safety: any thread; a descriptor is used by one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::server {

class FileSystem {
 public:
  FileSystem() = default;
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;
  virtual ~FileSystem() = default;

  enum class Mode : std::uint8_t {
    kRead,
    kWrite,   // and read; the file exists
    kCreate,  // and read and write; the file does not exist
  };
  // Return a descriptor. Files are created for their owner only, and a symbolic link is not
  // followed.
  virtual int OpenFolder(const std::string& path) = 0;
  virtual int OpenFolder(int folder, const std::string& name) = 0;
  virtual int Open(int folder, const std::string& name, Mode mode) = 0;
  virtual void Close(int descriptor) noexcept = 0;

  // Return the number of bytes written or read; Read() returns 0 at the end of the file.
  virtual std::int64_t Write(int file, std::uint64_t offset, std::string_view bytes) = 0;
  virtual std::int64_t Read(int file, std::uint64_t offset, std::span<char> bytes) = 0;
  virtual std::int64_t Size(int file) = 0;
  // Reserves space on disk up to `size` bytes. A file that grows by it reads as zeros there.
  virtual int Reserve(int file, std::uint64_t size) = 0;
  virtual int Truncate(int file, std::uint64_t size) = 0;
  // Waits until the file's bytes, or the folder's names, are on disk. After an error the kernel may
  // count bytes as written that are not: the file must not be used any more.
  virtual int Sync(int descriptor) = 0;

  virtual int MakeFolder(int folder, const std::string& name) = 0;
  // Replaces `to` if it exists, at once.
  virtual int Rename(int folder, const std::string& from, const std::string& to) = 0;
  virtual int Remove(int folder, const std::string& name) = 0;
  virtual int RemoveFolder(int folder, const std::string& name) = 0;
  // Fills `names` with the names in the folder, in no order.
  virtual int List(int folder, std::vector<std::string>& names) = 0;
  // Locks the folder for this process until it is closed. -EWOULDBLOCK if another process has it.
  virtual int Lock(int folder) = 0;
};

// The kernel's files.
FileSystem& KernelFiles();

}  // namespace sluice::server
