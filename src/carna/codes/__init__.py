"""The coded vocabulary: one row for each concept Carna speaks of.

A concept is a code in a public scheme, never a word. Schemes go by their DICOM names: SCT (SNOMED CT, as far
as DICOM's free set reaches), LN (LOINC), DCM (DICOM), MDC (ISO/IEEE 11073), RADLEX, NCIt, UCUM, and 99CARNA
for what no standard known here can say. Where it was measured, by which method and at which moment is said
by site, method and phase, not by a new code.

======================== ============================================================================
``HEART_RATE`` and so on one constant for each concept, in the sections below
``LEADS``, ``lead``      electrocardiogram leads
``AHA17``                the 17 segments of the left ventricle, segment 1 first
``CID42``                why a number is absent
``ALL``                  name -> concept: the constants, ``LEAD_V1`` and so on, ``AHA_1`` to ``AHA_17``
======================== ============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from carna.codes.concept import Concept
from carna.codes.concept import dcm as _dcm
from carna.codes.concept import elsewhere as _elsewhere
from carna.codes.concept import ln as _ln
from carna.codes.concept import mdc as _mdc
from carna.codes.concept import own as _own
from carna.codes.concept import row as _row
from carna.codes.concept import sct as _sct
from carna.errors import InputError

__all__ = ["AHA17", "ALL", "CID42", "LEADS", "Concept", "by_name", "find", "lead", "system_uri"]


_TID = "DICOM PS3.16, as public implementations write TID "
_SYNTHEA = "LOINC, as in the FHIR patients of Synthea"

# --- Electrocardiogram: measurements ----------------------------------------------------------------------

HEART_RATE = _ln("8867-4", "Heart rate", 12200, "/min")
VENTRICULAR_RATE = _elsewhere("MDC", "2:16016", "Ventricular Heart Rate", "/min", _TID + "3713")
ATRIAL_RATE = _elsewhere("MDC", "2:16020", "Atrial Heart Rate", "/min", _TID + "3713")
BEAT_COUNT = _elsewhere("MDC", "2:16032", "Count of all beats", "{beats}", _TID + "3713")
ECTOPIC_BEAT_COUNT = _dcm("122707", "Number of Ectopic Beats", 0, "{beats}")
RR_INTERVAL = _mdc("2:16168", "RR interval global", 3228, "ms", "MDC:2:16000", "DCM:122182")
PP_INTERVAL = _mdc("2:16140", "PP interval global", 3228, "ms")
PR_INTERVAL = _mdc("2:15872", "PR interval global", 3228, "ms", "LN:8625-6")
QRS_DURATION = _mdc("2:16156", "QRS duration global", 3228, "ms", "LN:8633-0")
QT_INTERVAL = _mdc("2:16160", "QT interval global", 3228, "ms", "LN:8634-8")
P_DURATION = _mdc("2:16184", "P duration global", 3228, "ms")
QTC_INTERVAL = _mdc("2:15876", "QTc interval global", 3227, "ms", "LN:8636-3")
QTC_BAZETT = _mdc("2:15880", "QTc global using Bazett formula", 3227, "ms")
QTC_FRIDERICIA = _mdc("2:15892", "QTc global using Fridericia formula", 3227, "ms")
# CID 3227 names two formulas; for the others a report pairs QTC_INTERVAL with the algorithm of CID 3678.
QTC_FRAMINGHAM = _own("QTC-FRAMINGHAM", "QTc global using Framingham formula", "ms")
QTC_HODGES = _own("QTC-HODGES", "QTc global using Hodges formula", "ms")
BAZETT = _dcm("122730", "Bazett QT Correction Algorithm", 3678)
FRIDERICIA = _dcm("122732", "Fridericia QTc Algorithm", 3678)
FRAMINGHAM = _dcm("122733", "Framingham QTc Algorithm", 3678)
HODGES = _dcm("122731", "Hodges QT Correction Algorithm", 3678)
P_AXIS = _mdc("2:16128", "P axis", 3229, "deg", "LN:8626-4")
QRS_AXIS = _mdc("2:16132", "QRS axis", 3229, "deg", "LN:8632-2")
T_AXIS = _mdc("2:16136", "T axis", 3229, "deg", "LN:8638-9")
# DICOM names low variability, but no measure of it.
SDNN = _own("SDNN", "Standard deviation of normal RR intervals", "ms")
RMSSD = _own("RMSSD", "Root mean square of successive RR differences", "ms")

# One lead each.
P_DURATION_LEAD = _mdc("2:6656", "P duration per lead", 3687, "ms")
QRS_DURATION_LEAD = _mdc("2:7936", "QRS duration per lead", 3687, "ms")
Q_DURATION_LEAD = _mdc("2:7680", "Q duration, per lead", 3687, "ms")
R_PEAK_TIME_LEAD = _mdc("2:11008", "Ventricular activation time, per lead", 3687, "ms")
P_AMPLITUDE_LEAD = _mdc("2:1280", "P maximum amplitude, per lead", 3688, "mV")
Q_AMPLITUDE_LEAD = _mdc("2:1792", "Q amplitude, per lead", 3688, "mV")
R_AMPLITUDE_LEAD = _mdc("2:2048", "R amplitude, per lead", 3688, "mV")
S_AMPLITUDE_LEAD = _mdc("2:2304", "S amplitude, per lead", 3688, "mV")
T_AMPLITUDE_LEAD = _mdc("2:2560", "T maximum amplitude, per lead", 3688, "mV")
J_AMPLITUDE_LEAD = _mdc("2:1024", "J point Amplitude, per lead", 3688, "mV")
ST_AMPLITUDE_LEAD = _mdc("2:768", "ST amplitude, per lead", 3688, "mV")

# --- Electrocardiogram: signal quality --------------------------------------------------------------------

# CID 3680 grades the noise of a lead but no standard names the question.
SIGNAL_QUALITY = _own("SIGNAL-QUALITY", "Signal quality")
SIGNAL_TO_NOISE = _own("SIGNAL-TO-NOISE", "Signal-to-noise ratio of the QRS band", "dB")
NOISE_NONE = _mdc("10:11200", "No Noise", 3680)
NOISE_MODERATE = _mdc("10:11216", "Moderate noise", 3680)
NOISE_SEVERE = _mdc("10:11232", "Severe noise", 3680)
NO_SIGNAL = _mdc("10:11248", "No signal", 3680)

# --- Electrocardiogram: findings --------------------------------------------------------------------------
# PhysioNet/CinC 2021 labels carry other SNOMED CT codes, equal as its score takes them: read through `also`.

ECG_FINDING = _sct("271921002", "Electrocardiogram finding", 0)
ECG_OVERALL = _elsewhere("LN", "18810-2", "ECG overall finding", "", _TID + "3719")
ECG_NORMAL = _sct("164854000", "Normal", 3677)
ECG_BORDERLINE = _sct("251135002", "Borderline Normal ECG", 3677)
ECG_ABNORMAL = _sct("102594003", "Abnormal ECG", 3677)
ECG_EQUIVOCAL = _sct("370359005", "ECG Equivocal", 3677)
ECG_NON_DIAGNOSTIC = _dcm("122753", "Non-diagnostic ECG", 3677)

RHYTHM = _ln("8884-9", "Cardiac Rhythm", 3441)
# CID 3415 has only the irregular half of the pair, and no name for the question.
RHYTHM_REGULARITY = _own("RHYTHM-REG", "Regularity of rhythm")
REGULAR_RHYTHM = _own("REGULAR-RHYTHM", "Regular rhythm")
IRREGULAR_RHYTHM = _mdc("10:10352", "Irregular rhythm", 3415)
SINUS_RHYTHM = _mdc("10:9216", "Sinus Rhythm", 3415, "", "SCT:426783006")
NORMAL_SINUS_RHYTHM = _sct("64730000", "normal sinus rhythm", 3826, "", "MDC:10:9232")
SINUS_BRADYCARDIA = _mdc("10:9248", "Sinus Bradycardia", 3415, "", "SCT:426177001")
SINUS_TACHYCARDIA = _mdc("10:9264", "Sinus Tachycardia", 3415, "", "SCT:427084000")
SINUS_ARRHYTHMIA = _mdc("10:9280", "Sinus Arrhythmia", 3415, "", "SCT:427393009")
BRADYCARDIA = _mdc("10:10432", "Bradycardia", 3415, "", "SCT:426627000")
# DICOM's set holds only tachycardias of a named origin.
TACHYCARDIA = _own("TACHYCARDIA", "Tachycardia, origin not stated")
ATRIAL_FIBRILLATION = _sct("49436004", "Atrial Fibrillation", 3230, "", "SCT:164889003", "MDC:10:9472")
ATRIAL_FLUTTER = _mdc("10:9456", "Atrial flutter", 3415, "", "SCT:164890007")
ATRIAL_TACHYCARDIA = _mdc("10:9392", "Atrial Tachycardia", 3415, "", "SCT:713422000")
SVT = _sct("6456007", "Supraventricular tachycardia", 3230, "", "SCT:426761007", "MDC:10:9504")
VT = _sct("25569003", "Ventricular tachycardia", 3230, "", "SCT:164895002")
VF = _sct("71908006", "Ventricular fibrillation", 3230, "", "SCT:164896001", "MDC:10:10016")
ASYSTOLE = _mdc("10:10336", "Asystole", 3415)

AV_BLOCK_1 = _sct("270492004", "First degree Atrioventricular block", 3230, "", "MDC:10:9632")
AV_BLOCK_2 = _sct("195042002", "Second degree Atrioventricular block", 3230, "", "MDC:10:9648")
AV_BLOCK_3 = _sct("27885002", "Third degree Atrioventricular block", 3230, "", "MDC:10:9696")
LBBB = _sct("63467002", "Left bundle branch block", 3230, "", "SCT:164909002", "SCT:733534002")
RBBB = _sct("59118001", "Right bundle branch block", 3230, "", "SCT:713427006")
INCOMPLETE_LBBB = _sct("251120003", "Incomplete Left bundle branch block", 3230)
INCOMPLETE_RBBB = _sct("251124007", "Incomplete Right bundle branch block", 3230, "", "SCT:713426002")
LAFB = _sct("37760005", "Left anterior fascicular block", 3230, "", "SCT:445118002")
LPFB = _sct("62026008", "Left posterior fascicular block", 3230, "", "SCT:445211001")
IVCD = _sct("4554005", "Intraventricular conduction disturbance", 3230, "", "SCT:698252002")
PREEXCITATION = _sct("195060002", "Ventricular pre-excitation", 3230, "", "MDC:10:10096")
APC = _sct("284470004", "Atrial premature contraction", 3230, "", "SCT:63593006")
PVC = _sct("251175005", "Ventricular premature contraction", 3230, "", "SCT:427172004", "SCT:17338001")
ST_ELEVATION = _sct("76388001", "ST elevation", 3230, "", "SCT:164931005")
ST_DEPRESSION = _sct("26141007", "ST depression", 3230, "", "SCT:429622005")

# --- Electrocardiogram: events (waveform annotations) -----------------------------------------------------
# Onset and offset have no codes of their own: a wave is annotated as the segment from one to the other.

P_WAVE = _mdc("10:256", "P wave", 3335)
QRS_COMPLEX = _mdc("10:1600", "Entire QRS (excluding P, T and U)", 3335)
T_WAVE = _mdc("10:1024", "T wave", 3335)
Q_WAVE = _mdc("10:448", "Q wave", 3335)
R_WAVE = _mdc("10:576", "R wave", 3335)
S_WAVE = _mdc("10:832", "S wave", 3335)
DELTA_WAVE = _mdc("10:1216", "Delta wave", 3335)
PR_SEGMENT = _mdc("10:1920", "PR Segment", 3335)
ST_SEGMENT = _mdc("10:1984", "ST Segment", 3335)
J_POINT = _mdc("10:2048", "J-point", 3335)
QRS_LIKE_ARTIFACT = _mdc("10:2176", "Isolated QRS-like artifact", 3335)
PACE_SPIKE = _mdc("10:4096", "Antibradycardia pace spike", 3335)
NORMAL_BEAT = _mdc("10:8208", "Normal beat (sinus beat, normal conduction)", 3335)
ABNORMAL_BEAT = _mdc("10:8224", "Abnormal beat", 3335)
SUPRAVENTRICULAR_PREMATURE_BEAT = _mdc("10:8256", "Supraventricular premature contraction", 3335)
ATRIAL_PREMATURE_BEAT = _mdc("10:8272", "Atrial premature contraction (beat)", 3335)
JUNCTIONAL_PREMATURE_BEAT = _mdc("10:8288", "Junctional (nodal) premature contraction", 3335)
ABERRATED_ATRIAL_BEAT = _mdc("10:8304", "Aberrated atrial premature beat (Ashman beat)", 3335)
BLOCKED_P_WAVE = _mdc("10:8320", "Non-conducted p-wave (blocked)", 3335)
VENTRICULAR_PREMATURE_BEAT = _mdc("10:8336", "Ventricular premature contraction beat", 3335)
FUSION_BEAT = _mdc("10:8352", "Fusion of ventricular and normal beat", 3335)
SUPRAVENTRICULAR_ESCAPE_BEAT = _mdc("10:8384", "Supraventricular escape beat", 3335)
ATRIAL_ESCAPE_BEAT = _mdc("10:8400", "Atrial escape beat", 3335)
JUNCTIONAL_ESCAPE_BEAT = _mdc("10:8416", "Junctional (nodal) escape beat", 3335)
VENTRICULAR_ESCAPE_BEAT = _mdc("10:8432", "Ventricular escape beat", 3335)
LBBB_BEAT = _mdc("10:8464", "Left bundle branch block beat", 3335)
RBBB_BEAT = _mdc("10:8496", "Right bundle branch block beat", 3335)
PACEMAKER_FUSION_BEAT = _mdc("10:8720", "Pacemaker Fusion beat", 3335)
UNCLASSIFIABLE_BEAT = _mdc("10:8736", "Unclassifiable beat", 3335)

# --- Electrocardiogram: report ----------------------------------------------------------------------------

# DICOM prints 11524-0, which fails LOINC's check digit; LOINC itself has 11524-6.
ECG_REPORT = _ln("11524-0", "ECG Report", 7000, "", "LN:11524-6")
HOLTER_REPORT = _ln("18754-2", "Holter Study Report", 7000)
ECG_GLOBAL_MEASUREMENTS = _dcm("122158", "ECG Global Measurements", 0)
ECG_LEAD_MEASUREMENTS = _dcm("122159", "ECG Lead Measurements", 0)
LEAD_ID = _dcm("122148", "Lead ID", 0)
LEAD_SYSTEM = _elsewhere("MDC", "10:11345", "Lead System", "", _TID + "3708")
LEAD_SYSTEM_STANDARD = _mdc("10:11265", "Standard 12-lead positions, electrodes placed individually", 3263)
LEAD_SYSTEM_MASON_LIKAR = _mdc("10:11266", "Mason-Likar lead positions, electrodes placed individually", 3263)
ECG_12_LEAD = _sct("268400002", "12-Lead ECG", 3670)

# --- Anatomy ----------------------------------------------------------------------------------------------

HEART = _sct("80891009", "Heart", 7152)
LEFT_VENTRICLE = _sct("87878005", "Left ventricle", 7152)
RIGHT_VENTRICLE = _sct("53085002", "Right ventricle", 7152)
VENTRICLES = _sct("21814001", "Ventricle", 7151)
BEATING_VENTRICLES = _own("BEATING-VENTR", "Both ventricles at every phase of a cine")
CHAMBERS_4CH = _own("CHAMBERS-4CH", "Chambers at every phase of a 4-chamber cine")
CHAMBERS_2CH = _own("CHAMBERS-2CH", "Chambers at every phase of a 2-chamber cine")
CHAMBERS_3CH = _own("CHAMBERS-3CH", "Chambers at every phase of a 3-chamber cine")
LEFT_ATRIUM = _sct("82471001", "Left atrium", 12305)
RIGHT_ATRIUM = _sct("73829009", "Right atrium", 12305)
ATRIA = _sct("59652004", "Atrium", 7151)
LV_MYOCARDIUM = _sct("49848007", "Left Ventricle Myocardium", 12305)
# DICOM's set names a ventricle with its wall, and no cavity.
LV_CAVITY = _own("LV-CAVITY", "Cavity of left ventricle")
RV_CAVITY = _own("RV-CAVITY", "Cavity of right ventricle")
# The same set has the left myocardium only.
RV_MYOCARDIUM = _own("RV-MYOCARDIUM", "Right ventricle myocardium")
SCAR = _dcm("122113", "Scarred Myocardium", 3704)
GREY_ZONE = _own("SCAR-GREY-ZONE", "Grey zone around scarred myocardium")
# DICOM has a finding of scar and the words for its depth, no amount of it.
SCAR_MASS = _own("SCAR-MASS", "Mass of scarred myocardium", "g")
GREY_ZONE_MASS = _own("GREY-ZONE-MASS", "Mass of grey zone around scarred myocardium", "g")
SCAR_SHARE = _own("SCAR-SHARE", "Scarred share of left ventricular muscle", "%")
SCAR_BY_THRESHOLD = _own("SCAR-THRESHOLD", "Scarred share of left ventricular muscle by threshold", "%")
SCAR_DEPTH = _own("SCAR-DEPTH", "Scarred share of the wall (transmurality)", "%")
SCAR_APPLICABLE = _own("SCAR-APPLICABLE", "Conditions under which measuring scar applies")
INTERVENTRICULAR_SEPTUM = _sct("589001", "Interventricular septum", 12305)
LV_OUTFLOW_TRACT = _sct("13418002", "Left ventricle outflow tract", 12305)
RV_OUTFLOW_TRACT = _sct("44627009", "Right ventricle outflow tract", 12305)
PERICARDIUM = _sct("76848001", "Pericardium", 7152)
MITRAL_VALVE = _sct("91134007", "Mitral Valve", 12305)
AORTIC_VALVE = _sct("34202007", "Aortic Valve", 12305)
TRICUSPID_VALVE = _sct("46030003", "Tricuspid valve", 12305)
PULMONIC_VALVE = _sct("39057004", "Pulmonic Valve", 12305)
AORTA = _sct("15825003", "Aorta", 7152)
ASCENDING_AORTA = _sct("54247002", "Ascending aorta", 12305)
DESCENDING_AORTA = _sct("32672002", "Descending aorta", 3604, "", "SCT:281130003")
PULMONARY_ARTERY = _sct("81040000", "Pulmonary artery", 12305)
PULMONARY_TRUNK = _sct("45341000", "Trunk of pulmonary artery", 12305)
PULMONARY_VEIN = _sct("122972007", "Pulmonary vein", 3011)
INFERIOR_VENA_CAVA = _sct("64131007", "Inferior vena cava", 12305)
BLOOD = _sct("87612001", "Blood", 7151)
ARTERY_LUMEN = _sct("67170007", "Lumen of artery", 3497)
CORONARY_ARTERY = _sct("41801008", "Coronary artery", 3604)
LEFT_MAIN = _sct("3227004", "Left Main Coronary Artery", 3015)
LAD = _sct("59438005", "Left Anterior Descending Coronary Artery", 3015)
LCX = _sct("57396003", "Circumflex Coronary Artery", 3015)
RCA = _sct("13647002", "Right Coronary Artery", 3015)
PDA = _sct("53655008", "Posterior Descending Right Coronary Artery", 3015)
FIRST_DIAGONAL = _sct("91750005", "1st Diagonal Coronary Artery", 3015)
FIRST_MARGINAL = _sct("91754001", "1st Marginal Coronary Artery", 3015)
RENAL_ARTERY = _sct("2841007", "Renal artery", 3604)
RAMUS = _sct("244252004", "Intermediate Artery (Ramus)", 3015)

# --- Chambers: ejection fraction, volumes, mass -----------------------------------------------------------
# The method is part of the code: an ejection fraction by MR and one by echo are different concepts.

EJECTION_FRACTION = _sct("70822001", "Cardiac ejection fraction", 12252, "%")
LVEF_MR = _ln("8811-2", "Left ventricular ejection fraction by MR", 3833, "%")
LVEF_CT = _ln("8810-4", "Left ventricular ejection fraction by CT", 3833, "%")
LVEF_US = _ln("18043-0", "Left Ventricular Ejection Fraction by US", 12202, "%")
LVEF_BIPLANE = _ln("79991-6", "Left ventricular ejection fraction biplane (MOD)", 12300, "%")
LVEF_4CH = _ln("79993-2", "Left ventricular ejection fraction single plane 4C (MOD)", 12300, "%")
LVEF_2CH = _ln("79992-4", "Left ventricular ejection fraction single plane 2C (MOD)", 12300, "%")
RVEF_MR = _ln("8818-7", "Right ventricular ejection fraction by MR", 3833, "%")
RVEF_CT = _ln("8817-9", "Right ventricular ejection fraction by CT", 3833, "%")
LV_EDV = _ln("8821-1", "Left Ventricular ED Volume", 3835, "mL")
LV_ESV = _ln("8823-7", "Left Ventricular ES Volume", 3835, "mL")
RV_EDV = _ln("8822-9", "Right Ventricular ED Volume", 3835, "mL")
RV_ESV = _ln("8824-5", "Right Ventricular ES Volume", 3835, "mL")
LA_EDV = _dcm("122407", "Left Atrial ED Volume", 3835, "mL")
LA_ESV = _dcm("122408", "Left Atrial ES Volume", 3835, "mL")
LA_VOLUME_LGE = _own("LA-VOLUME-LGE", "Left atrial blood volume in late enhancement, phase not stated", "mL")
LV_EDV_US = _ln("18026-5", "Left Ventricular End Diastolic Volume", 12202, "mL")
LV_ESV_US = _ln("18148-7", "Left Ventricular End Systolic Volume", 12202, "mL")
LV_EDV_BIPLANE = _ln("79996-5", "Left ventricular end diastolic volume biplane (MOD)", 12300, "mL")
LV_ESV_BIPLANE = _ln("80001-1", "Left ventricular end systolic volume biplane (MOD)", 12300, "mL")
# Of apical clips: what is outlined in them, and how the discs are summed.
ECHO_OUTLINES = _own("ECHO-OUTLINES", "Left ventricle and left atrium in an apical echo clip")
LV_APICAL_AREA = _own("LV-APICAL-AREA", "Left ventricular cavity area in an apical view", "cm2")
ECHO_MEASURABLE = _own("ECHO-MEASURABLE", "An apical echo clip can be measured")
ECHO_PROVEN = _own("ECHO-PROVEN", "Reading proven on echocardiograms of patients")
DISCS_BIPLANE = _dcm("125207", "Method of Disks, Biplane", 12227)
DISCS_SINGLE = _dcm("125208", "Method of Disks, Single Plane", 12227)
LV_MASS = _ln("18087-7", "Left Ventricle Mass", 12203, "g")
STROKE_VOLUME = _sct("90096001", "Stroke Volume", 3835, "mL")
STROKE_INDEX = _sct("277381004", "Stroke Index", 12239, "mL/m2")
CARDIAC_OUTPUT = _sct("82799009", "Cardiac Output", 12239, "L/min")
CARDIAC_INDEX = _sct("54993008", "Cardiac Index", 12239, "L/min/m2")
# The indexed codes that exist belong to echo methods; these are for MR and CT.
LV_EDV_INDEX = _own("LV-EDV-INDEX", "Left Ventricular ED Volume / BSA", "mL/m2")
LV_ESV_INDEX = _own("LV-ESV-INDEX", "Left Ventricular ES Volume / BSA", "mL/m2")
RV_EDV_INDEX = _own("RV-EDV-INDEX", "Right Ventricular ED Volume / BSA", "mL/m2")
RV_ESV_INDEX = _own("RV-ESV-INDEX", "Right Ventricular ES Volume / BSA", "mL/m2")
RV_STROKE_VOLUME = _own("RV-STROKE-VOL", "Right ventricular stroke volume by volumes", "mL")
LV_VOLUME = _own("LV-VOLUME", "Left ventricular cavity volume over the beat", "mL")
RV_VOLUME = _own("RV-VOLUME", "Right ventricular cavity volume over the beat", "mL")
FOUR_CHAMBERS = _own("FOUR-CHAMBERS", "Four chambers and great vessels of the heart")
CHAMBER_VOLUME = _own("CHAMBER-VOLUME", "Volume of a structure of the heart at one phase of the beat", "mL")
HEART_IN_VOLUME = _own("HEART-IN-VOLUME", "The volume holds the whole heart")
PHASE_KNOWN = _own("PHASE-KNOWN", "The moment of the beat that a volume shows is known")
MODALITY_AGREES = _own("MODALITY-AGREES", "Values are of the modality that the header says")
VENTRICLES_COVERED = _own("VENTR-COVERED", "The stack holds the left ventricle from base to apex")
IN_REFERENCE = _own("IN-REFERENCE", "Value within a published reference range")
PREDICTED_DICE = _own("PREDICTED-DICE", "Dice that a reader's outlines are predicted to have", "1")
OUTLINES_TRUSTED = _own("OUTLINE-TRUSTED", "Outlines agree with themselves in turned pictures")
LONG_AXIS_TRUSTED = _own("LONGAX-TRUSTED", "Long-axis outlines agree with themselves in turned pictures")
LA_ESV_INDEX = _own("LA-ESV-INDEX", "Left Atrial ES Volume / BSA", "mL/m2")
EJECTED_BY_SLICE = _own("EJECTED-BY-SLICE", "Share of the left stroke volume by slice, base first", "%")
LA_VOLUME = _own("LA-VOLUME", "Left atrial volume over the beat", "mL")
LV_MASS_INDEX = _own("LV-MASS-INDEX", "Left Ventricle Mass / BSA", "g/m2")
# Volumes inside a fitted surface are another method than sums of slices, so they have their own codes.
LV_ENDOCARDIUM_SURFACE = _own("LV-ENDO-SURFACE", "Surface of left ventricular cavity, closed at the base")
LV_EPICARDIUM_SURFACE = _own("LV-EPI-SURFACE", "Outer surface of left ventricle, closed at the base")
RV_ENDOCARDIUM_SURFACE = _own("RV-ENDO-SURFACE", "Surface of right ventricular cavity, closed at the base")
LV_SURFACE_EDV = _own("LV-SURFACE-EDV", "Left ventricular ED volume inside a fitted surface", "mL")
LV_SURFACE_ESV = _own("LV-SURFACE-ESV", "Left ventricular ES volume inside a fitted surface", "mL")
RV_SURFACE_EDV = _own("RV-SURFACE-EDV", "Right ventricular ED volume inside a fitted surface", "mL")
RV_SURFACE_ESV = _own("RV-SURFACE-ESV", "Right ventricular ES volume inside a fitted surface", "mL")
LV_SURFACE_WALL = _own("LV-SURFACE-WALL", "Left ventricular wall volume between surfaces", "mL")
SURFACE_TO_LEFT = _own("SURFACE-TO-LEFT", "Displacement of a surface to the left", "mm")
SURFACE_TO_BACK = _own("SURFACE-TO-BACK", "Displacement of a surface backward", "mm")
SURFACE_TO_HEAD = _own("SURFACE-TO-HEAD", "Displacement of a surface to the head", "mm")
SHAPE_DISTANCE = _own("SHAPE-DISTANCE", "Mahalanobis distance of a shape from an atlas", "1")
SHAPE_BEYOND = _own("SHAPE-BEYOND", "Share of fitted virtual hearts at least as far away", "1")
SLICE_SHIFT = _own("SLICE-SHIFT", "Largest shift of a slice in its plane", "mm")
OUTLINES_REPAIRED = _own("OUTLINE-REPAIRED", "Outlines replaced by a composed shape")

# --- Chambers: wall and strain ----------------------------------------------------------------------------
# Strain is global when the site is the whole ventricle and regional when it is a segment.

WALL_THICKNESS = _dcm("122445", "Wall Thickness", 0, "mm")
WALL_THICKENING = _ln("59092-7", "% Thickening", 12252, "%")
LONGITUDINAL_STRAIN = _dcm("130670", "Longitudinal Lagrangian Strain", 12311, "%")
PEAK_LONGITUDINAL_STRAIN = _dcm("130671", "Peak Longitudinal Lagrangian Strain", 12311, "%")
CIRCUMFERENTIAL_STRAIN = _dcm("130677", "Circumferential Lagrangian Strain", 12311, "%")
RADIAL_STRAIN = _dcm("130675", "Radial Lagrangian Strain", 12311, "%")
CIRCUMFERENTIAL_STRAIN_RATE = _dcm("130678", "Circumferential Lagrangian Strain Rate", 12311, "/s")
RADIAL_STRAIN_RATE = _dcm("130676", "Radial Lagrangian Strain Rate", 12311, "/s")
# Only the peak of longitudinal strain has a code.
PEAK_CIRCUMFERENTIAL_STRAIN = _own("PEAK-CC-STRAIN", "Peak circumferential Lagrangian strain", "%")
PEAK_RADIAL_STRAIN = _own("PEAK-RR-STRAIN", "Peak radial Lagrangian strain", "%")
TORSION_ESTIMATED = _own("TORSION-EST", "Twist of base against apex, estimated from cine", "deg")
GLS_US = _dcm("130694", "LV Peak GLS Multiview Mean (Endocardial)", 12309, "%")
TAPSE = _ln("77903-3", "Tricuspid Annular Plane Systolic Excursion (TAPSE)", 12300, "mm")
RV_FRACTIONAL_AREA_CHANGE = _ln("79936-1", "Right ventricular fractional area change", 12300, "%")

# --- Phases, views and geometry ---------------------------------------------------------------------------

CARDIAC_PHASE = _sct("246092007", "Cardiac cycle phase", 0)
SYSTOLE = _sct("111973004", "Systole", 12233)
DIASTOLE = _sct("90892000", "Diastole", 12233)
END_DIASTOLE = _sct("416190007", "End diastole", 12233, "", "DCM:109022")
END_SYSTOLE = _sct("416430001", "End Systole", 12233, "", "DCM:109070")
# LOINC times the peak of single segments only.
TIME_TO_END_SYSTOLE = _own("TIME-TO-ES", "Time from R wave to end systole", "ms")
# A frame-to-frame change of the image, in its own intensities: nothing a standard measures.
MOTION_ENERGY = _own("MOTION-ENERGY", "Motion energy of image frames")
PLACE_SURE = _own("PLACE-SURE", "Place of the heart stands out from the second best")
BRIGHT_BLOOD = _own("BRIGHT-BLOOD", "Fraction of bright blood around the left ventricle", "1")

IMAGE_VIEW = _dcm("111031", "Image View", 0)
SHORT_AXIS = _sct("103340004", "Short axis", 27)
LONG_AXIS = _sct("103339001", "Long axis", 501)
VERTICAL_LONG_AXIS = _sct("131185001", "Vertical Long Axis", 27)
HORIZONTAL_LONG_AXIS = _sct("131186000", "Horizontal Long Axis", 27)
TWO_CHAMBER = _sct("399232001", "Two chamber", 6)
# DICOM's name for the plane through apex, left ventricle and outflow tract.
THREE_CHAMBER = _sct("399339008", "Apical long axis", 12226)
FOUR_CHAMBER = _sct("399214001", "Four chamber", 6)
RVOT_VIEW = _sct("399195005", "Right Ventricular Outflow Tract View", 12226)
PARASTERNAL_LONG_AXIS = _sct("399139001", "Parasternal long axis", 12226)
PARASTERNAL_SHORT_AXIS = _sct("399306005", "Parasternal short axis", 12226)

IMAGE_FRAME = _dcm("130781", "Image frame", 272)
# Frames are numbered by attributes in DICOM, so the number has no code.
FRAME_NUMBER = _own("FRAME-NUMBER", "Frame number", "1")
TIME = _dcm("110858", "Time", 7182, "s")
REGION_OF_INTEREST = _row("NCIt", "C85402", "Imaging Region of Interest", 272)
CENTER_OF_MASS = _dcm("128138", "Center of Mass", 219, "mm")
VOLUME = _sct("118565006", "Volume", 12304, "mL")
AREA = _sct("42798000", "Area", 12304, "mm2")
LENGTH = _sct("410668003", "Length", 12304, "mm")
DIAMETER = _sct("81827009", "Diameter", 12304, "mm")
MASS = _sct("118538004", "Mass", 12304, "g")
ANGLE = _sct("1483009", "Angle", 12304, "deg")
MINIMUM = _sct("255605001", "Minimum", 7464)
MAXIMUM = _sct("56851009", "Maximum", 7464)
MEAN = _sct("373098007", "Mean", 7464)

# --- Flow -------------------------------------------------------------------------------------------------

FFR = _sct("371842003", "Fractional flow reserve", 3620, "1")
# DICOM's are for a wire under hyperaemia; a computed one must not pass for a measured one.
FFR_COMPUTED = _own("FFR-COMPUTED", "Computed fractional flow reserve", "1")
FFR_DROP = _own("FFR-DROP", "Drop of computed fractional flow reserve over a lesion", "1")
FFR_IF_OPEN = _own("FFR-IF-OPEN", "Computed FFR if this segment had its reference radius", "1")
FFR_LOW = _own("FFR-LOW", "Computed fractional flow reserve at or below its cut-off")
PULL_BACK_INDEX = _own("PPG-COMPUTED", "Pull-back pressure gradient index of computed FFR", "1")
# A ratio by a pressure wire in a renal artery has no code in the dictionary either.
PD_PA_COMPUTED = _own("PDPA-COMPUTED", "Computed ratio of renal artery to aortic pressure (Pd/Pa)", "1")
PD_PA_IF_OPEN = _own("PDPA-IF-OPEN", "Computed Pd/Pa if this segment had its reference radius", "1")
PD_PA_LOW = _own("PDPA-LOW", "Computed Pd/Pa at or below its cut-off")
# DICOM's mean gradient is Doppler's.
PRESSURE_DROP = _own("PRESSURE-DROP", "Computed drop of mean pressure over a lesion", "mm[Hg]")
IMR = _own("IMR", "Index of microcirculatory resistance", "mm[Hg].s")
STENOTIC_SEGMENT = _own("STENOTIC-SEGMENT", "Narrowed segment of a vessel")
LESION_PLACE = _own("LESION-PLACE", "Distance of a lesion's throat from the inlet", "mm")
FLOW_APPLICABLE = _own("FLOW-APPLICABLE", "Conditions under which the flow computation applies")
ANEURYSM_SAC = _own("ANEURYSM-SAC", "Sac of an aneurysm")
NECK_AREA = _own("NECK-AREA", "Area of the neck of an aneurysm", "mm2")
SAC_SPEED = _own("SAC-SPEED", "Computed mean speed of blood in an aneurysm", "cm/s")
SAC_INFLOW = _own("SAC-INFLOW", "Computed inflow through the neck of an aneurysm", "mL/s")
SAC_TURNOVER = _own("SAC-TURNOVER", "Computed residence time in an aneurysm, volume over inflow", "s")
CORONARY_FLOW_RESERVE = _dcm("122217", "Coronary Flow reserve", 3620, "1")
DIAMETER_STENOSIS = _sct("408715008", "Lumen Diameter Stenosis", 12119, "%")
AREA_STENOSIS = _sct("408714007", "Lumen Area Stenosis", 12119, "%")
LESION_LENGTH = _sct("408716009", "Stenotic Lesion Length", 3483, "mm")
LUMEN_DIAMETER = _sct("397413000", "Vessel lumen diameter", 3481, "mm")
LUMEN_AREA = _sct("397415007", "Vessel lumen cross-sectional area", 3482, "mm2")
# Exists only as a diameter qualified as the minimum, which a single row of a table cannot carry.
MIN_LUMEN_DIAMETER = _own("MIN-LUMEN-DIAM", "Minimum lumen diameter", "mm")
VOLUME_FLOW = _ln("33878-0", "Volume Flow Rate", 12304, "mL/s")
PEAK_VELOCITY = _ln("20355-4", "Peak Blood Velocity", 12304, "cm/s")
PRESSURE_GRADIENT_PEAK = _ln("20247-3", "Peak Gradient [Pressure]", 12304, "mm[Hg]")
PRESSURE_GRADIENT_MEAN = _ln("20256-4", "Mean Gradient [Pressure] by Doppler", 12304, "mm[Hg]")
VASCULAR_RESISTANCE = _sct("251271006", "Vascular Resistance", 12304, "mm[Hg].min/L")
MEAN_PRESSURE = _sct("6797001", "Mean blood pressure", 12304, "mm[Hg]", "DCM:109027")
SYSTOLIC_PRESSURE = _ln("8480-6", "Intravascular Systolic Blood pressure", 3611, "mm[Hg]", "SCT:271649006")
DIASTOLIC_PRESSURE = _ln("8462-4", "Intravascular diastolic blood pressure", 3611, "mm[Hg]", "SCT:271650006")

# --- Electrophysiology of the tissue ----------------------------------------------------------------------
# In no dictionary at hand: the catheter annotations of CID 3339 are steps of a procedure.

ACTIVATION_TIME = _own("ACTIVATION-TIME", "Activation time from first stimulus", "ms")
LOCAL_ACTIVATION_TIME = _own("LOCAL-ACT-TIME", "Local activation time against a reference", "ms")
CONDUCTION_VELOCITY = _own("COND-VELOCITY", "Conduction velocity", "m/s")
APD90 = _own("APD90", "Action potential duration at 90 % repolarization", "ms")

# --- The record -------------------------------------------------------------------------------------------

AGE = _dcm("121033", "Subject Age", 0, "a")
SEX = _dcm("121032", "Subject Sex", 0)
SEX_FEMALE = _dcm("F", "Female", 7455)
SEX_MALE = _dcm("M", "Male", 7455)
SEX_OTHER = _dcm("121102", "Other sex", 7455)
SEX_UNDETERMINED = _dcm("121103", "Undetermined sex", 7455)
SEX_AMBIGUOUS = _dcm("121104", "Ambiguous sex", 7455)
SEX_UNKNOWN = _dcm("U", "Unknown sex", 7455)
BODY_HEIGHT = _elsewhere("LN", "8302-2", "Body Height", "cm", _SYNTHEA)
BODY_WEIGHT = _elsewhere("LN", "29463-7", "Body Weight", "kg", _SYNTHEA)
BODY_MASS_INDEX = _elsewhere("LN", "39156-5", "Body Mass Index", "kg/m2", _SYNTHEA)
BODY_SURFACE_AREA = _ln("8277-6", "BSA", 3455, "m2")
CREATININE = _elsewhere("LN", "38483-4", "Creatinine", "mg/dL", _SYNTHEA)
POTASSIUM = _elsewhere("LN", "6298-4", "Potassium", "mmol/L", _SYNTHEA)
SODIUM = _elsewhere("LN", "2947-0", "Sodium", "mmol/L", _SYNTHEA)
CALCIUM = _elsewhere("LN", "49765-1", "Calcium", "mg/dL", _SYNTHEA)
HAEMOGLOBIN = _elsewhere("LN", "718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL", _SYNTHEA)
HAEMATOCRIT = _ln("20570-8", "Hematocrit", 4110, "%")
PACEMAKER = _sct("441509002", "Cardiac pacemaker in situ", 0)

# --- Electrophysiology models ------------------------------------------------------------------------------

APD_CHANGE = _own("EP-APD90-CHANGE", "Modelled change of action potential duration (APD90)", "ms")
NET_CHARGE_CHANGE = _own("EP-CHARGE-CHANGE", "Modelled change of net charge of a beat", "%")
MODEL_RISK_CLASS = _own("EP-DRUG-CLASS", "Class of a drug by net charge in a cell model")
# What a model of a heart does is no finding of the heart: none of these may pass for an induced tachycardia.
MODEL_REENTRY = _own("EP-REENTRY", "Share of model ensemble in which re-entry is inducible", "1")
MODEL_CIRCUIT = _own("EP-CIRCUIT", "Share of model ensemble with this re-entrant circuit", "1")
MODEL_UNPLACED = _own("EP-UNPLACED", "Share of model ensemble with re-entry of no fixed path", "1")
MODEL_CYCLE = _own("EP-CYCLE", "Cycle length of a modelled re-entrant circuit", "ms")
MODEL_ISTHMUS = _own("EP-ISTHMUS", "Isthmus of a modelled re-entrant circuit")
MODEL_ISTHMUS_OPEN = _own("EP-ISTHMUS-OPEN", "Share in which a modelled isthmus conducts on a fine grid", "1")
MODEL_SITES = _own("EP-SITES", "Sites from which a modelled circuit was induced")
MODEL_ENSEMBLE = _own("EP-ENSEMBLE", "Ensemble of heart models screened")

# --- Report structure -------------------------------------------------------------------------------------

IMAGING_MEASUREMENT_REPORT = _dcm("126000", "Imaging Measurement Report", 7021)
MEASUREMENT_GROUP = _dcm("125007", "Measurement Group", 0)
FINDING = _dcm("121071", "Finding", 7002)
FINDING_SITE = _sct("363698007", "Finding Site", 9000)
MEASUREMENT_METHOD = _sct("370129005", "Measurement Method", 9000)
DERIVATION = _dcm("121401", "Derivation", 9000)
SOURCE_OF_MEASUREMENT = _dcm("121112", "Source of Measurement", 7003)
TRACKING_ID = _dcm("112039", "Tracking Identifier", 0)
TRACKING_UID = _dcm("112040", "Tracking Unique Identifier", 0)
ALGORITHM_NAME = _dcm("111001", "Algorithm Name", 0)
ALGORITHM_VERSION = _dcm("111003", "Algorithm Version", 0)
PERSON = _dcm("121006", "Person", 270)
DEVICE = _dcm("121007", "Device", 270)
PERSON_OBSERVER_NAME = _dcm("121008", "Person Observer Name", 0)
DEVICE_OBSERVER_UID = _dcm("121012", "Device Observer UID", 0)
DEVICE_OBSERVER_NAME = _dcm("121013", "Device Observer Name", 0)
SUMMARY = _ln("55112-7", "Summary", 7001)
CONCLUSION = _dcm("121077", "Conclusion", 7002)
PROBABILITY = _dcm("122157", "Probability", 0, "1")
UNCERTAINTY_RANGE = _sct("371884006", "+/-, range of measurement uncertainty", 225)
PRELIMINARY_REPORT = _dcm("121362", "Preliminary report", 7009)
FOR_RESEARCH = _dcm("113009", "For Research", 7010)
PHANTOM = _sct("706342009", "Phantom", 4051, "", "DCM:113681")
# A simulated patient is no test object on a table, which is all DICOM calls a phantom.
SYNTHETIC = _own("SYNTHETIC", "Synthetic data, no patient")

IMAGE_QUALITY = _dcm("111101", "Image Quality", 6014)
QUALITY_DIAGNOSTIC = _row("RADLEX", "RID12", "Diagnostic quality", 7036)
QUALITY_LIMITED = _row("RADLEX", "RID13", "Limited quality", 7036)
QUALITY_NON_DIAGNOSTIC = _row("RADLEX", "RID14", "Non-diagnostic quality", 7036)

# What a segment is, before which one it is.
ANATOMICAL_STRUCTURE = _sct("91723000", "Anatomical Structure", 7150)
TISSUE = _sct("85756007", "Tissue", 7150)
BODY_SUBSTANCE = _sct("91720002", "Body Substance", 7150)
MORPHOLOGICALLY_ABNORMAL = _sct("49755003", "Morphologically Abnormal Structure", 7150)
PHYSICAL_OBJECT = _sct("260787004", "Physical object", 7150)
FUNCTION = _sct("246464006", "Function", 7150)
SPATIAL_CONCEPT = _sct("309825002", "Spatial and Relational Concept", 7150)
ORGAN = _sct("91772007", "Organ", 7151)

# --- Why a number is absent -------------------------------------------------------------------------------

NOT_ATTEMPTED = _dcm("114007", "Measurement not attempted", 42)
MEASUREMENT_FAILURE = _dcm("114006", "Measurement failure", 42)
CALCULATION_FAILURE = _dcm("114008", "Calculation failure", 42)
OUT_OF_RANGE = _dcm("114009", "Value out of range", 42)
VALUE_UNKNOWN = _dcm("114010", "Value unknown", 42)
VALUE_INDETERMINATE = _dcm("114011", "Value indeterminate", 42)

# No standard says that a criterion was met without saying that the disease is there.
CRITERIA_MET = _own("CRITERIA-MET", "Criteria met")
CRITERIA_NOT_MET = _own("CRITERIA-NOTMET", "Criteria not met")
CRITERIA_NOT_ASSESSABLE = _own("NOT-ASSESSABLE", "Criteria not assessable")
VERDICTS: Mapping[str, Concept] = MappingProxyType(
    {"met": CRITERIA_MET, "not met": CRITERIA_NOT_MET, "not assessable": CRITERIA_NOT_ASSESSABLE}
)
"""The verdict of a `Statement` to its code."""

CID42: Mapping[str, Concept] = MappingProxyType(
    {
        "not attempted": NOT_ATTEMPTED,
        "failed": MEASUREMENT_FAILURE,
        "calculation failed": CALCULATION_FAILURE,
        "out of range": OUT_OF_RANGE,
        "unknown": VALUE_UNKNOWN,
        "indeterminate": VALUE_INDETERMINATE,
    }
)
"""Reason for an absent number -> its Numeric Value Qualifier (DICOM CID 42)."""

# --- Segments of the left ventricle -----------------------------------------------------------------------

AHA17: tuple[Concept, ...] = (
    _sct("264850008", "left ventricle basal anterior segment", 3717),
    _sct("396482007", "left ventricle basal anteroseptal segment", 3717),
    _sct("396646008", "left ventricle basal inferoseptal segment", 3717),
    _sct("264846001", "left ventricle basal inferior segment", 3717),
    _sct("396652009", "left ventricle basal inferolateral segment", 3717),
    _sct("396654005", "left ventricle basal anterolateral segment", 3717),
    _sct("264848000", "left ventricle mid anterior segment", 3717),
    _sct("396647004", "left ventricle mid anteroseptal segment", 3717),
    _sct("396649001", "left ventricle mid inferoseptal segment", 3717),
    _sct("264847005", "left ventricle mid inferior segment", 3717),
    _sct("396655006", "left ventricle mid inferolateral segment", 3717),
    _sct("396656007", "left ventricle mid anterolateral segment", 3717),
    _sct("264844003", "left ventricle apical anterior segment", 3717),
    _sct("264845002", "left ventricle apical septal segment", 3717),
    _sct("264849008", "left ventricle apical inferior segment", 3717),
    _sct("264853005", "left ventricle apical lateral segment", 3717),
    _sct("128564006", "Apex of left ventricle", 3717),
)
"""American Heart Association model, segment 1 first (Cerqueira 2002, doi:10.1161/hc0402.102975)."""

# --- Leads ------------------------------------------------------------------------------------------------

_PLAIN_LEADS = {
    "I": 1, "II": 2, "V1": 3, "V2": 4, "V3": 5, "V4": 6, "V5": 7, "V6": 8, "V7": 9, "V3R": 11, "V4R": 12,
    "X": 16, "Y": 17, "Z": 18, "III": 61, "V8": 66, "V9": 67,
}  # fmt: skip
LEADS: Mapping[str, Concept] = MappingProxyType(
    {name: _mdc(f"2:{code}", f"Lead {name}", 3001) for name, code in _PLAIN_LEADS.items()}
    | {
        "aVR": _mdc("2:62", "aVR, augmented voltage, right", 3001),
        "aVL": _mdc("2:63", "aVL, augmented voltage, left", 3001),
        "aVF": _mdc("2:64", "aVF, augmented voltage, foot", 3001),
    }
)
"""Name of a lead -> its code (DICOM CID 3001)."""

# --- Looking up -------------------------------------------------------------------------------------------

ALL: Mapping[str, Concept] = MappingProxyType(
    {name: row for name, row in globals().items() if isinstance(row, Concept)}
    | {f"LEAD_{name.upper()}": row for name, row in LEADS.items()}
    | {f"AHA_{number}": row for number, row in enumerate(AHA17, 1)}
)
"""Every concept by its name."""

_BY_CODE = {code: row for row in ALL.values() for code in row.also} | {
    (row.scheme, row.value): row for row in ALL.values()
}
_LEAD_BY_LOWER = {name.lower(): row for name, row in LEADS.items()}

_SYSTEM_URI = {
    "SCT": "http://snomed.info/sct",
    "LN": "http://loinc.org",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "MDC": "urn:iso:std:iso:11073:10101",
    "RADLEX": "http://radlex.org",
    "NCIt": "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
    "UCUM": "http://unitsofmeasure.org",
    "99CARNA": "urn:carna:codes",
}


def find(scheme: str, value: str) -> Concept | None:
    """Return the concept a code stands for, by its own code or one known to be equal, or None.

    >>> find("SCT", "164889003") == ATRIAL_FIBRILLATION
    True
    """
    return _BY_CODE.get((scheme, value))


def by_name(name: str) -> Concept:
    """Return the concept of a name in ``ALL``, such as ``HEART_RATE``.

    Raises
    ------
    InputError
        If no concept has that name.
    """
    if name not in ALL:
        raise InputError(f"no concept is named {name!r}", needed="a name in carna.codes.ALL")
    return ALL[name]


def lead(name: str) -> Concept:
    """Return the concept of an electrocardiogram lead, such as ``V1`` or ``aVR``, in any case.

    Raises
    ------
    InputError
        If the lead has no code here: a monitoring lead such as ``MLII`` is no standard lead.
    """
    found = _LEAD_BY_LOWER.get(name.lower())
    if found is None:
        raise InputError(f"lead {name!r} has no code", needed=f"one of {', '.join(LEADS)}")
    return found


def system_uri(scheme: str) -> str:
    """Return the FHIR system of a coding scheme, such as ``http://loinc.org`` for ``LN``.

    FHIR writes an MDC code as one number, which stands among the ``also`` of its concept.

    Raises
    ------
    InputError
        If the scheme is none of those used here.
    """
    if scheme not in _SYSTEM_URI:
        raise InputError(f"unknown coding scheme {scheme!r}", needed=f"one of {', '.join(_SYSTEM_URI)}")
    return _SYSTEM_URI[scheme]
