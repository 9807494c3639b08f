/*
 * main.cc - the same from C++: the declarations have C linkage, so that these calls link at all.
 */
#include <cstdio>
#include <pawl/pawl.h>
#include <string>

int main()
{
    const std::string library = pawl_version();

    if (library != PAWL_VERSION) {
        std::fprintf(stderr, "header %s, library %s\n", PAWL_VERSION, library.c_str());
        return 1;
    }
    return std::string(pawl_strerror(-EAGAIN)).empty() ? 1 : 0;
}
