/* Keeps what a disk would have after a power cut: loaded into a process, it copies each file and each folder's list of
   names when, and only when, they are synced.

   $SYNCED_TO/i/INODE is a file as it was last synced, $SYNCED_TO/d/INODE a folder: its path, and then a line for each
   name with its inode. What is outside of $SYNCED_FROM is left alone. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void keep_file(const char *link, int to) {
    char block[1 << 16];
    ssize_t size;
    int from = open(link, O_RDONLY | O_CLOEXEC); /* the one that is synced may be for writing only */
    if (from < 0) abort();
    while ((size = read(from, block, sizeof block)) > 0)
        if (write(to, block, size) != size) abort();
    close(from);
}

static void keep_folder(const char *path, int to) {
    DIR *folder = opendir(path);
    struct dirent *entry;
    if (!folder) abort();
    dprintf(to, "%s\n", path);
    while ((entry = readdir(folder)))
        if (entry->d_type == DT_REG) dprintf(to, "%llu %s\n", (unsigned long long)entry->d_ino, entry->d_name);
    closedir(folder);
}

static void keep(int descriptor) {
    const char *from = getenv("SYNCED_FROM"), *to = getenv("SYNCED_TO");
    char link[64], path[4096], part[4096], final[4096];
    struct stat status;
    ssize_t length;
    int file;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    length = readlink(link, path, sizeof path - 1);
    if (!from || !to || length < 0 || fstat(descriptor, &status)) return;
    path[length] = 0;
    if (strncmp(path, from, strlen(from))) return;
    snprintf(part, sizeof part, "%s/part-%d", to, gettid());
    snprintf(final, sizeof final, "%s/%c/%llu", to, S_ISDIR(status.st_mode) ? 'd' : 'i', (unsigned long long)status.st_ino);
    file = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) abort();
    if (S_ISDIR(status.st_mode)) keep_folder(path, file);
    else keep_file(link, file);
    close(file);
    if (rename(part, final)) abort();
}

#define SYNC(name) \
    int name(int descriptor) { \
        int (*call)(int) = (int (*)(int))dlsym(RTLD_NEXT, #name); \
        int answer = call(descriptor); \
        if (!answer) keep(descriptor); \
        return answer; \
    }

SYNC(fsync)
SYNC(fdatasync)
