/*
 * main.c - what a C program outside the tree can rely on: the headers it was compiled with and the
 * library it runs with are the same version, and errors have words.
 */
#include <pawl/pawl.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    if (strcmp(pawl_version(), PAWL_VERSION) != 0) {
        fprintf(stderr, "header %s, library %s\n", PAWL_VERSION, pawl_version());
        return 1;
    }
    return pawl_strerror(-EAGAIN)[0] == '\0';
}
