/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/report.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/publish.h"
#include "io/whole_file.h"
#include "src/base/log.h"
#include "src/run/plot.h"

#define MARK "<!-- palimpsest report -->"
#define PAGE "report.html"

/* All names that a report's folder may have; report.html says whose it is. */
static const char *const measures[] = {"documents", "frequency", "attention", "compression",
                                       "sweep"};
static const char *const endings[] = {"csv", "gp", "svg"};
static const char *const others[] = {"summary.json", PAGE};
enum {
    MEASURES = sizeof measures / sizeof *measures,
    ENDINGS = sizeof endings / sizeof *endings,
    OTHERS = sizeof others / sizeof *others,
    NAMES = MEASURES * ENDINGS + OTHERS
};

static const char *name_of(int number, char name[64])
{
    if (number < OTHERS) return others[number];
    number -= OTHERS;
    snprintf(name, 64, "%s.%s", measures[number / ENDINGS], endings[number % ENDINGS]);
    return name;
}

/* Also under the name that it has while it is written. */
static bool is_ours(const char *found)
{
    char name[64];
    for (int i = 0; i < NAMES; i++) {
        const char *ours = name_of(i, name);
        size_t length = strlen(ours);
        if (strncmp(found, ours, length) == 0 &&
            (found[length] == '\0' || strcmp(found + length, ".part") == 0))
            return true;
    }
    return false;
}

static bool has_mark(const char *folder)
{
    char path[PATH_MAX], begin[sizeof MARK] = "";
    snprintf(path, sizeof path, "%s/" PAGE, folder);
    FILE *in = fopen(path, "rb");
    if (in == NULL) return false;
    size_t count = fread(begin, 1, sizeof MARK - 1, in);
    (void)fclose(in);
    return count == sizeof MARK - 1 && memcmp(begin, MARK, count) == 0;
}

static Status check_contents(const char *folder, DIR *list)
{
    bool empty = true;
    for (const struct dirent *item; (item = readdir(list)) != NULL;) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0) continue;
        empty = false;
        if (!is_ours(item->d_name))
            PAL_FAIL(PAL_ERROR_CANT_CREATE,
                     "--report %s: '%.100s' is there, which is of no report; give an empty folder, "
                     "or one that is not there yet",
                     folder, item->d_name);
    }
    if (!empty && !has_mark(folder))
        PAL_FAIL(PAL_ERROR_CANT_CREATE,
                 "--report %s: has files, but no report.html of an earlier report that might be "
                 "replaced; give an empty folder, or one that is not there yet",
                 folder);
    return PAL_OK;
}

Status report_check(const char *folder)
{
    if (folder[0] == '\0' || strlen(folder) > PATH_MAX - 64)
        PAL_FAIL(PAL_ERROR_USAGE, "--report '%.60s': a folder's name has 1 to %d characters",
                 folder, PATH_MAX - 64);
    PAL_TRY(make_folders(folder));
    DIR *list = access(folder, W_OK | X_OK) == 0 ? opendir(folder) : NULL;
    if (list == NULL)
        PAL_FAIL(PAL_ERROR_CANT_CREATE,
                 "--report %s: cannot be written to: %s; choose another folder", folder,
                 strerror(errno));
    Status status = check_contents(folder, list);
    (void)closedir(list);
    return status;
}

ReportSection *report_section(Report *report, const char *title)
{
    PAL_ASSERT(report->num_sections < REPORT_SECTIONS);
    ReportSection *section = &report->sections[report->num_sections++];
    *section = (ReportSection){.title = title};
    return section;
}

JsonText *report_plot(const Report *report, ReportSection *section, int width, int height)
{
    plot_begin(&section->script, section->table.name, width, height);
    if (report->plot_title != NULL)
        plot_line(&section->script, "set title \"%s\"", report->plot_title);
    return &section->script;
}

void report_destroy(Report *report)
{
    for (int i = 0; i < report->num_sections; i++) {
        table_destroy(&report->sections[i].table);
        free(report->sections[i].script.text);
    }
    table_destroy(&report->facts);
    *report = (Report){0};
}

/* --- report.html ------------------------------------------------------------------------------- */

static const char style[] =
    "body { font-family: Georgia, serif; max-width: 52em; margin: 2em auto; padding: 0 1em;\n"
    "       color: #222; line-height: 1.45 }\n"
    "h1 { font-size: 1.5em } h2 { font-size: 1.2em; margin-top: 2em }\n"
    "table { border-collapse: collapse; font: 0.8em sans-serif; margin: 1em 0 }\n"
    "th { text-align: left; border-bottom: 2px solid #888; padding: 0.2em 0.7em;\n"
    "     vertical-align: bottom }\n"
    "td { text-align: right; border-bottom: 1px solid #ddd; padding: 0.15em 0.7em }\n"
    "td.text { text-align: left }\n"
    "img { max-width: 100%; display: block }\n"
    ".rows { max-height: 30em; overflow: auto }\n"
    ".protocol { border-left: 4px solid #c2571a; padding-left: 0.8em }\n";

static void append_base64(JsonText *html, const JsonText *bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = (const unsigned char *)bytes->text;
    for (size_t i = 0; i < bytes->length; i += 3) {
        size_t left = bytes->length - i;
        unsigned long three = (unsigned long)from[i] << 16 |
                              (left > 1 ? (unsigned long)from[i + 1] << 8 : 0) |
                              (left > 2 ? (unsigned long)from[i + 2] : 0);
        const char four[] = {digits[three >> 18 & 63], digits[three >> 12 & 63],
                             left > 1 ? digits[three >> 6 & 63] : '=',
                             left > 2 ? digits[three & 63] : '=', '\0'};
        json_append(html, four);
    }
}

/* As an image within the page, so that names within pictures do not meet. */
static Status append_picture(JsonText *html, const char *folder, const ReportSection *section)
{
    char path[PATH_MAX];
    JsonText picture = {0};
    snprintf(path, sizeof path, "%s/%s.svg", folder, section->table.name);
    Status status = whole_file_read(path, &picture);
    if (status == PAL_OK) {
        json_append(html, "<p><img alt=\"");
        html_append(html, section->title);
        json_append(html, "\" src=\"data:image/svg+xml;base64,");
        append_base64(html, &picture);
        json_append(html, "\"></p>\n");
    }
    free(picture.text);
    return status;
}

static void append_paragraph(JsonText *html, const char *begin, const char *text, const char *end)
{
    json_append(html, begin);
    html_append(html, text);
    json_append(html, end);
}

/* Writes the section's own files, too. */
static Status append_section(JsonText *html, Plotter *plotter, const ReportSection *section)
{
    bool drawn = false;
    append_paragraph(html, "<h2>", section->title, "</h2>\n");
    append_paragraph(html, "<p>", section->text, "</p>\n");
    if (section->table.num_columns == 0) return PAL_OK;
    PAL_TRY(table_write(&section->table, plotter->folder));
    PAL_TRY(plot_draw(plotter, section->table.name, &section->script, &drawn));
    if (drawn) PAL_TRY(append_picture(html, plotter->folder, section));
    json_append(html, "<div class=\"rows\">\n");
    table_html(&section->table, html);
    json_append(html, "</div>\n");
    return PAL_OK;
}

static Status build(const Report *report, const char *folder, JsonText *html)
{
    Plotter plotter = {.folder = folder};
    json_append(html, MARK "\n<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
                           "<meta charset=\"utf-8\">\n");
    append_paragraph(html, "<title>", report->title, "</title>\n");
    json_append(html, "<style>\n");
    json_append(html, style);
    json_append(html, "</style>\n</head>\n<body>\n");
    append_paragraph(html, "<h1>", report->title, "</h1>\n");
    append_paragraph(html, "<p class=\"protocol\">", report->protocol, "</p>\n");
    table_html(&report->facts, html);
    for (int i = 0; i < report->num_sections; i++)
        PAL_TRY(append_section(html, &plotter, &report->sections[i]));
    json_append(html, "</body>\n</html>\n");
    return PAL_OK;
}

/* A report that is not finished is one, too: a start after a kill or a full disk may replace it. */
static Status begin_page(const char *path)
{
    JsonText page = {0};
    json_append(&page, MARK "\n<!DOCTYPE html>\n<title>palimpsest</title>\n"
                            "<p>This report was not written to its end.</p>\n");
    Status status = whole_file_write(path, &page);
    free(page.text);
    return status;
}

/* What an earlier report has left: of measures that this one may not have. */
static void remove_earlier(const char *folder)
{
    char path[PATH_MAX], name[64];
    for (int i = 0; i < NAMES; i++) {
        if (strcmp(name_of(i, name), PAGE) == 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder, name_of(i, name));
        (void)unlink(path);
    }
}

static Status write_summary(const Report *report, const char *folder)
{
    char path[PATH_MAX];
    JsonText summary = {0};
    if (report->summary == NULL) return PAL_OK;
    json_append(&summary, report->summary);
    json_append(&summary, "\n");
    snprintf(path, sizeof path, "%s/summary.json", folder);
    Status status = whole_file_write(path, &summary);
    free(summary.text);
    return status;
}

Status report_write(Report *report, const char *folder)
{
    char path[PATH_MAX];
    JsonText html = {.lost = report->facts.lost};
    snprintf(path, sizeof path, "%s/" PAGE, folder);
    PAL_TRY(begin_page(path));
    remove_earlier(folder);
    Status status = write_summary(report, folder);
    if (status == PAL_OK) status = build(report, folder, &html);
    if (status == PAL_OK) status = whole_file_write(path, &html);
    if (status == PAL_OK) log_info("report: %s", path);
    free(html.text);
    return status;
}
