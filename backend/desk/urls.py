"""The addresses of the pages."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path, register_converter
from django.urls.converters import StringConverter

from desk import (
    allot,
    allotment_sheet,
    as_of,
    documents,
    files,
    find,
    forecast,
    give_up,
    items,
    ledgers,
    match,
    night,
    trail,
    views,
)
from desk.entry import site


class LicenseNumber(StringConverter):
    """Any text, none too: whatever the column holds has an address."""

    regex = r"[\s\S]*"


register_converter(LicenseNumber, "number")
urlpatterns = [
    path("", views.home, name="home"),
    path("licenses/", views.licenses, name="licenses"),
    path("licenses.csv", files.licenses_csv, name="licenses_csv"),
    path("licenses.xlsx", files.licenses_xlsx, name="licenses_xlsx"),
    path("licenses/<number:number>/balance-sheet.pdf", files.balance_sheet, {"kind": "pdf"}, "balance_sheet_pdf"),
    path("licenses/<number:number>/balance-sheet.xlsx", files.balance_sheet, {"kind": "xlsx"}, "balance_sheet_xlsx"),
    path("licenses/<number:number>/trail.csv", trail.license_trail_csv, name="license_trail_csv"),
    path("licenses/<number:number>/trail/", trail.license_trail, name="license_trail"),
    path("licenses/<number:number>/as-of.pdf", as_of.license_as_of_sheet, {"kind": "pdf"}, "license_as_of_pdf"),
    path("licenses/<number:number>/as-of.xlsx", as_of.license_as_of_sheet, {"kind": "xlsx"}, "license_as_of_xlsx"),
    path("licenses/<number:number>/as-of/", as_of.license_as_of, name="license_as_of"),
    path("licenses/<number:number>/", views.license, name="license"),
    path("balance-sheets.pdf", files.balance_sheets, {"kind": "pdf"}, "balance_sheets_pdf"),
    path("balance-sheets.xlsx", files.balance_sheets, {"kind": "xlsx"}, "balance_sheets_xlsx"),
    path("items/", items.items, name="items"),
    path("items.xlsx", items.items_xlsx, name="items_xlsx"),
    path("forecast/", forecast.forecast, name="forecast"),
    path("find/", find.find, name="find"),
    path("find.csv", find.find_csv, name="find_csv"),
    path("find.xlsx", find.find_xlsx, name="find_xlsx"),
    path("allot/", allot.allot, name="allot"),
    path("bills-of-entry/", documents.bills_of_entry, name="bills_of_entry"),
    path("bills-of-entry/<int:pk>/", views.bill_of_entry, name="bill_of_entry"),
    path("allotments/", documents.allotments, name="allotments"),
    path("allotments/<int:pk>/", views.allotment, name="allotment"),
    path("allotments/<int:pk>/give-up/", give_up.give_up, name="give_up"),
    path("allotments/<int:pk>/sheet.pdf", allotment_sheet.sheet, name="allotment_pdf"),
    path("ledgers/", ledgers.ledgers, name="ledgers"),
    path("ledgers/<int:pk>/", ledgers.upload, name="upload"),
    path("ledgers/<int:pk>/licenses/<int:license_pk>/", ledgers.uploaded_license, name="uploaded_license"),
    path("match/", match.matches, name="matches"),
    path("match/settled/", match.settled, name="settled"),
    path("match/<str:what>/<int:license_pk>/<int:pk>/", match.mismatch, name="mismatch"),
    path("trail/", trail.trail, name="trail"),
    path("trail/<int:pk>/", trail.trail_statement, name="trail_statement"),
    path("trail.csv", trail.trail_csv, name="trail_csv"),
    path("as-of/", as_of.as_of, name="as_of"),
    path("as-of.csv", as_of.as_of_csv, name="as_of_csv"),
    path("reconciliation/", night.runs, name="runs"),
    path("reconciliation/run-now/", night.run_now, name="run_now"),
    path("reconciliation/<int:pk>/", night.run, name="run"),
    path("reconciliation/<int:pk>/drift/", night.drift, name="drift"),
    path("reconciliation/<int:pk>/findings/<str:kind>/", night.findings, name="findings"),
    path("reconciliation/<int:pk>/report.<str:form>", night.report_file, name="report_file"),
    path("entry/", site.urls),
    path("login/", LoginView.as_view(template_name="desk/login.html", redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
]
