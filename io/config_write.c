/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration as an INI file, and the help about its keys.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/config_keys.h"

static void print_section(FILE *out, int key)
{
    if (config_section_begins(key)) fprintf(out, "\n[%s]\n", config_keys[key].section);
}

Status config_write(const Config *config, FILE *out)
{
    char value[PAL_VALUE_SIZE], expected[256];
    fprintf(out, "# The complete configuration, as used.\n");
    for (int i = 0; i < num_config_keys; i++) {
        const ConfigKey *key = &config_keys[i];
        print_section(out, i);
        fprintf(out, "# %s (%s)\n", key->help, config_key_expected(key, expected));
        config_key_text(key, config, value);
        /* Only data.path can be empty, and only in a Config that was never checked. */
        fprintf(out, "%s%s = %s\n", value[0] == '\0' ? "# " : "", key->name, value);
    }
    if (fflush(out) != 0 || ferror(out))
        PAL_FAIL(PAL_ERROR_IO, "config.ini: cannot be written: %s", strerror(errno));
    return PAL_OK;
}

Status config_text(const Config *config, char **text)
{
    size_t size;
    *text = NULL;
    FILE *out = open_memstream(text, &size);
    if (out == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "configuration: out of memory");
    Status status = config_write(config, out);
    if (fclose(out) != 0 && status == PAL_OK)
        status = PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "configuration: out of memory");
    if (status != PAL_OK) {
        free(*text);
        *text = NULL;
    }
    return status;
}

void config_compare(const Config *a, const Config *b,
                    void (*differs)(void *context, const char *key, const char *in_a,
                                    const char *in_b),
                    void *context)
{
    char in_a[PAL_VALUE_SIZE], in_b[PAL_VALUE_SIZE], name[128];
    for (int i = 0; i < num_config_keys; i++) {
        const ConfigKey *key = &config_keys[i];
        config_key_text(key, a, in_a);
        config_key_text(key, b, in_b);
        if (strcmp(in_a, in_b) == 0) continue;
        snprintf(name, sizeof name, "%s.%s", key->section, key->name);
        differs(context, name, in_a, in_b);
    }
}

void config_print_help(FILE *out)
{
    char expected[256];
    fprintf(out, "Keys of the configuration, in sections; on the command line "
                 "--set section.key=value\n");
    for (int i = 0; i < num_config_keys; i++) {
        const ConfigKey *key = &config_keys[i];
        print_section(out, i);
        fprintf(out, "  %-20s %s\n", key->name, key->help);
        fprintf(out, "  %-20s %s; %s%s\n", "", config_key_expected(key, expected),
                key->fallback != NULL ? "default " : "must be given",
                key->fallback != NULL ? key->fallback : "");
    }
}
