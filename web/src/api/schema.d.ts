// Made by scripts/api-schema.mjs from the server's /openapi.json; run "npm run api" after changing the API.
export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        Me: {
            id: string;
            login: string;
            name: string;
            roles: ("clinician" | "operator" | "administrator" | "auditor")[];
            /** @enum {string} */
            language: "bg" | "en";
            created_at: string;
            disabled_at: string | null;
            organisation: components["schemas"]["OrganisationShown"];
        };
        OrganisationShown: {
            id: string;
            name: string;
            zone: string;
            phone: string;
        };
        SignInNew: {
            login: string;
            password: string;
        };
        LanguageChoice: {
            /** @enum {string} */
            language: "bg" | "en";
        };
        Consultations: {
            consultations: components["schemas"]["ConsultationShown"][];
        };
        ConsultationShown: {
            id: string;
            state: components["schemas"]["State"];
            patient: components["schemas"]["PatientBrief"];
            station: components["schemas"]["StationBrief"] | null;
            clinician: components["schemas"]["Someone"] | null;
            second_clinicians: components["schemas"]["Someone"][];
            created_at: string;
            scheduled_at: string | null;
            minutes: number;
            walk_in: boolean;
            waiting_at: string | null;
            live_at: string | null;
            ended_at: string | null;
            signed_at: string | null;
            phone_since: string | null;
            vitals_shared: boolean;
            recording_since: string | null;
            care_consent: boolean | null;
            recording_consent: boolean | null;
            guests_waiting: number;
            patient_here: boolean;
            attachment_id: string | null;
        };
        /** @enum {string} */
        State: "scheduled" | "waiting" | "live" | "interrupted" | "ended" | "signed" | "amended" | "cancelled" | "no_show";
        PatientBrief: {
            id: string;
            name: string | null;
            birth_year: number | null;
            key_destroyed: boolean;
        };
        StationBrief: {
            id: number;
            name: string;
            place: string;
            online: boolean;
        };
        Someone: {
            id: string;
            name: string;
        };
        ConsultationNew: {
            /** @default null */
            station_id: number | null;
            patient_id: string;
            /** @default null */
            clinician_id: string | null;
            /** @default null */
            scheduled_at: string | null;
            minutes?: number;
        };
        Stations: {
            stations: components["schemas"]["StationShown"][];
        };
        StationShown: {
            id: number;
            name: string;
            place: string;
            created_at: string;
            online: boolean;
            seen_at: string | null;
            status: {
                [key: string]: unknown;
            } | null;
        };
        Review: {
            consultation: components["schemas"]["ConsultationShown"];
            from_us: number;
            to_us: number;
            streams: components["schemas"]["ReviewStream"][];
            gaps: components["schemas"]["Gap"][];
            numerics: components["schemas"]["StoredNumber"][];
            numerics_truncated: boolean;
        };
        ReviewStream: {
            stream: number;
            kind: string;
            device: string;
            /** @enum {string} */
            origin: "measured" | "recording" | "simulated";
            channels: string[];
            rate: [
                number,
                number
            ];
            from_us: number;
            to_us: number;
            segments: components["schemas"]["Segment"][];
        };
        Segment: {
            stream: number;
            from_us: number;
            to_us: number;
            first_sample: number;
            n: number;
        };
        Gap: {
            kind: string;
            from_us: number;
            to_us: number;
        };
        StoredNumber: {
            kind: string;
            value: string | null;
            unit: string;
            at_us: number;
            source: string;
            /** @enum {string} */
            origin: "measured" | "recording" | "simulated";
            derived: boolean;
            quality: string[];
            extra: {
                [key: string]: string | null;
            };
        };
        Trend: {
            from_us: number;
            to_us: number;
            columns: number;
            series: components["schemas"]["TrendSeries"][];
        };
        TrendSeries: {
            kind: string;
            part: string | null;
            unit: string;
            source: string;
            /** @enum {string} */
            origin: "measured" | "recording" | "simulated";
            column: number[];
            least: string[];
            greatest: string[];
            last: string[];
            count: number[];
        };
        Recordings: {
            recordings: components["schemas"]["RecordingShown"][];
        };
        RecordingShown: {
            id: string;
            participant: string;
            by: string;
            /** @enum {string} */
            source: "camera" | "exam" | "screen";
            began_us: number;
            length_ms: number;
            bytes: number;
            error_us: number | null;
            aligned: boolean;
            picture: boolean;
            sound: boolean;
            picture_left_out: boolean;
            ended_at: string | null;
            ended_why: ("left" | "switched_off" | "withdrawn" | "full" | "disk" | "database" | "cut") | null;
        };
        Colleagues: {
            colleagues: components["schemas"]["Someone"][];
        };
        PatientNew: {
            name: string;
            birth_year: number | null;
            identifiers?: components["schemas"]["IdentifierNew"][];
            provisional?: boolean;
        };
        IdentifierNew: {
            system: string;
            value: string;
        };
        PatientShown: {
            id: string;
            name: string | null;
            birth_year: number | null;
            identifiers: components["schemas"]["IdentifierShown"][];
            provisional: boolean;
            key_destroyed: boolean;
            created_at: string;
        };
        IdentifierShown: {
            system: string;
            value: string;
            well_formed: boolean | null;
        };
        IdentifierChecked: {
            system: string;
            normal: string;
            well_formed: boolean | null;
        };
        AttachmentShown: {
            id: string;
            station_id: number;
            patient_id: string;
            consultation_id: string | null;
            opened_at: string;
            closed_at: string | null;
            closed_reason: ("operator" | "next_patient" | "sensors_off" | "consultation_ended") | null;
        };
        Intervals: {
            intervals: components["schemas"]["IntervalShown"][];
        };
        IntervalShown: {
            id: string;
            patient: components["schemas"]["PatientBrief"];
            station: components["schemas"]["StationBrief"];
            opened_at: string;
            closed_at: string;
        };
        TicketsListed: {
            tickets: components["schemas"]["TicketListed"][];
        };
        TicketListed: {
            id: string;
            /** @enum {string} */
            role: "patient" | "relative" | "interpreter" | "second_clinician";
            name: string | null;
            /** @enum {string} */
            language: "bg" | "en";
            created_at: string;
            expires_at: string;
            revoked_at: string | null;
            seats: components["schemas"]["SeatShown"][];
        };
        SeatShown: {
            id: string;
            ticket_id: string;
            /** @enum {string} */
            role: "patient" | "relative" | "interpreter" | "second_clinician";
            device: number;
            /** @enum {string} */
            state: "waiting" | "admitted" | "refused" | "removed" | "left";
            name: string | null;
            /** @enum {string} */
            language: "bg" | "en";
            joined_at: string;
        };
        TicketNew: {
            /** @enum {string} */
            role: "patient" | "relative" | "interpreter" | "second_clinician";
            /** @default null */
            name: string | null;
            /** @enum {string} */
            language: "bg" | "en";
            /** @default null */
            email: string | null;
        };
        InvitationShown: {
            ticket: components["schemas"]["TicketListed"];
            link: string;
            words: components["schemas"]["ByLanguage"];
            subject: components["schemas"]["ByLanguage"];
            qr: string;
            calendar: string;
            mail: components["schemas"]["MailShown"] | null;
        };
        ByLanguage: {
            bg: string;
            en: string;
        };
        MailShown: {
            sent: boolean;
            /** @default null */
            code: string | null;
        };
        Notes: {
            draft: string | null;
            notes: components["schemas"]["NoteShown"][];
        };
        NoteShown: {
            version: number;
            at: string;
            by: components["schemas"]["Someone"];
            text: string;
            reason: string | null;
        };
        TicketShown: {
            /** @enum {string} */
            role: "patient" | "relative" | "interpreter" | "second_clinician";
            organisation: components["schemas"]["OrganisationBrief"];
            clinician: string | null;
            scheduled_at: string | null;
            minutes: number;
            state: components["schemas"]["State"];
            server_now: string;
            arrives_from: string | null;
            /** @enum {string} */
            language: "bg" | "en";
        };
        OrganisationBrief: {
            name: string;
            phone: string;
        };
        VisitShown: {
            consultation: string;
            seat: string;
            /** @enum {string} */
            seat_state: "waiting" | "admitted" | "refused" | "removed" | "left";
            /** @enum {string} */
            role: "patient" | "relative" | "interpreter" | "second_clinician";
            device: number;
            state: components["schemas"]["State"];
            organisation: components["schemas"]["OrganisationBrief"];
            clinician: string | null;
            scheduled_at: string | null;
            minutes: number;
            server_now: string;
            arrives_from: string | null;
            position: number | null;
            vitals_shared: boolean;
            phone_since: string | null;
            recording_since: string | null;
            name: string | null;
            /** @enum {string} */
            language: "bg" | "en";
            consent: boolean;
            place: components["schemas"]["PlaceShown"] | null;
        };
        PlaceShown: {
            address: string;
            phone: string;
        };
        LineShown: {
            n: number;
            line: string;
            at: string;
            by: components["schemas"]["Speaker"];
            text: string;
            file: components["schemas"]["SharedFile"] | null;
        };
        Speaker: {
            id: string;
            /** @enum {string} */
            role: "clinician" | "second_clinician" | "operator" | "patient" | "relative" | "interpreter";
            name: string | null;
        };
        SharedFile: {
            id: string;
            name: string;
            media_type: string;
            bytes: number;
            sha256: string;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
