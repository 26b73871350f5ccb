// KernelFiles(): FileSystem by Linux's system calls.
#include <cerrno>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/persistence/file_system.h"

namespace sluice::server {
namespace {

constexpr int kOpenFlags = O_CLOEXEC | O_NOFOLLOW;
constexpr mode_t kFileMode = S_IRUSR | S_IWUSR;
constexpr mode_t kFolderMode = S_IRWXU;

template <typename Number>
Number OrErrno(Number result) {
  return result < 0 ? static_cast<Number>(-errno) : result;
}

class Kernel final : public FileSystem {
 public:
  int OpenFolder(const std::string& path) override {
    return OrErrno(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  int OpenFolder(int folder, const std::string& name) override {
    return OrErrno(openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | kOpenFlags));
  }
  int Open(int folder, const std::string& name, Mode mode) override {
    const int flags = mode == Mode::kRead    ? O_RDONLY
                      : mode == Mode::kWrite ? O_RDWR
                                             : O_RDWR | O_CREAT | O_EXCL;
    return OrErrno(openat(folder, name.c_str(), flags | kOpenFlags, kFileMode));
  }
  void Close(int descriptor) noexcept override { close(descriptor); }

  std::int64_t Write(int file, std::uint64_t offset, std::string_view bytes) override {
    return OrErrno(pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset)));
  }
  std::int64_t Read(int file, std::uint64_t offset, std::span<char> bytes) override {
    return OrErrno(pread(file, bytes.data(), bytes.size(), static_cast<off_t>(offset)));
  }
  std::int64_t Size(int file) override {
    struct stat about = {};
    const int error = OrErrno(fstat(file, &about));
    return error < 0 ? error : about.st_size;
  }
  // EOPNOTSUPP: the file system cannot reserve; then a write may find no space.
  int Reserve(int file, std::uint64_t size) override {
    const int error = OrErrno(fallocate(file, 0, 0, static_cast<off_t>(size)));
    return error == -EOPNOTSUPP ? 0 : error;
  }
  int Truncate(int file, std::uint64_t size) override {
    return OrErrno(ftruncate(file, static_cast<off_t>(size)));
  }
  int Sync(int descriptor) override { return OrErrno(fdatasync(descriptor)); }

  int MakeFolder(int folder, const std::string& name) override {
    return OrErrno(mkdirat(folder, name.c_str(), kFolderMode));
  }
  int Rename(int folder, const std::string& from, const std::string& to) override {
    return OrErrno(renameat(folder, from.c_str(), folder, to.c_str()));
  }
  int Remove(int folder, const std::string& name) override {
    return OrErrno(unlinkat(folder, name.c_str(), 0));
  }
  int RemoveFolder(int folder, const std::string& name) override {
    return OrErrno(unlinkat(folder, name.c_str(), AT_REMOVEDIR));
  }
  int List(int folder, std::vector<std::string>& names) override {
    names.clear();
    // A descriptor of its own, since reading a folder moves its position.
    const int copy = OpenFolder(folder, ".");
    if (copy < 0) {
      return copy;
    }
    const std::unique_ptr<DIR, int (*)(DIR*)> opened(fdopendir(copy), closedir);
    if (opened == nullptr) {
      const int error = -errno;
      close(copy);
      return error;
    }
    for (;;) {
      errno = 0;
      const dirent* const entry = readdir(opened.get());
      if (entry == nullptr) {
        return -errno;
      }
      const std::string name = static_cast<const char*>(entry->d_name);
      if (name != "." && name != "..") {
        names.push_back(name);
      }
    }
  }
  int Lock(int folder) override { return OrErrno(flock(folder, LOCK_EX | LOCK_NB)); }
};

}  // namespace

FileSystem& KernelFiles() {
  static Kernel kernel;
  return kernel;
}

}  // namespace sluice::server
