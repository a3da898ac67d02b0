// What Swift sees of libsodium. It is linked as an archive, which Package.swift asks for.
#include <sodium.h>
