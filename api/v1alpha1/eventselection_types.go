package v1alpha1

// EventSelection says which events a trail records. Exactly one form is used.
//
// +kubebuilder:validation:XValidation:rule="has(self.basic) != has(self.advanced)",message="Set exactly one of basic and advanced."
type EventSelection struct {
	// basic selects by category, read or write, and data resources. An event is
	// recorded when any of the selectors matches.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	Basic []BasicEventSelector `json:"basic,omitempty"`

	// advanced selects by field. An event is recorded when any of the selectors
	// matches.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	Advanced []AdvancedEventSelector `json:"advanced,omitempty"`
}

// ReadWriteType selects read-only events, write-only events or both.
// +kubebuilder:validation:Enum=All;ReadOnly;WriteOnly
type ReadWriteType string

// Values of ReadWriteType.
const (
	ReadWriteAll ReadWriteType = "All"
	ReadOnly     ReadWriteType = "ReadOnly"
	WriteOnly    ReadWriteType = "WriteOnly"
)

// BasicEventSelector is CloudTrail's EventSelector.
type BasicEventSelector struct {
	// readWriteType limits the selector to read or write events; empty means All.
	// +optional
	ReadWriteType ReadWriteType `json:"readWriteType,omitempty"`

	// includeManagementEvents selects management events; empty means true.
	// +optional
	IncludeManagementEvents *bool `json:"includeManagementEvents,omitempty"`

	// excludeManagementEventSources are event sources, such as
	// coordination.k8s.io, whose management events are left out.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	ExcludeManagementEventSources []string `json:"excludeManagementEventSources,omitempty"`

	// dataResources selects data events; empty selects none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	DataResources []DataResource `json:"dataResources,omitempty"`
}

// DataResource selects data events by the resource they touch.
type DataResource struct {
	// type is a resource type: AWS::S3::Object, AWS::Lambda::Function,
	// AWS::DynamoDB::Table or K8S::<group>::<Kind>.
	// +required
	// +kubebuilder:validation:MaxLength=320
	// +kubebuilder:validation:Pattern=`^(AWS::S3::Object|AWS::Lambda::Function|AWS::DynamoDB::Table|K8S::[a-z0-9.-]+::[A-Za-z0-9]+)$`
	Type string `json:"type"`

	// values are ARNs. For AWS::S3::Object and K8S types they are prefixes, for
	// the others they are compared whole; arn:aws:s3, arn:aws:lambda,
	// arn:aws:dynamodb and arn:k8s mean every resource of the type.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=250
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=2048
	Values []string `json:"values"`
}

// AdvancedEventSelector is CloudTrail's AdvancedEventSelector: an event matches
// when all of its field selectors match.
//
// +kubebuilder:validation:XValidation:rule="self.fieldSelectors.exists_one(f, f.field == 'eventCategory')",message="An advanced event selector needs exactly one field selector for eventCategory."
type AdvancedEventSelector struct {
	// name describes the selector.
	// +optional
	// +kubebuilder:validation:MaxLength=1000
	Name string `json:"name,omitempty"`

	// fieldSelectors must all match.
	// +required
	// +listType=map
	// +listMapKey=field
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	FieldSelectors []FieldSelector `json:"fieldSelectors"`
}

// Field names a property of an event.
// +kubebuilder:validation:Enum=eventCategory;readOnly;eventName;eventSource;eventType;resources.type;resources.ARN;userIdentity.arn
type Field string

// Values of Field.
const (
	FieldEventCategory   Field = "eventCategory"
	FieldReadOnly        Field = "readOnly"
	FieldEventName       Field = "eventName"
	FieldEventSource     Field = "eventSource"
	FieldEventType       Field = "eventType"
	FieldResourcesType   Field = "resources.type"
	FieldResourcesARN    Field = "resources.ARN"
	FieldUserIdentityARN Field = "userIdentity.arn"
)

// FieldSelector compares one field of an event. The values of a positive
// operator are alternatives; none of the values of a negative one may match;
// all operators given must hold. Comparison is exact and case-sensitive.
//
// +kubebuilder:validation:XValidation:rule="has(self.equals) || has(self.startsWith) || has(self.endsWith) || has(self.notEquals) || has(self.notStartsWith) || has(self.notEndsWith)",message="A field selector needs at least one operator."
// +kubebuilder:validation:XValidation:rule="!(self.field in ['eventCategory', 'readOnly', 'resources.type']) || (has(self.equals) && !has(self.startsWith) && !has(self.endsWith) && !has(self.notEquals) && !has(self.notStartsWith) && !has(self.notEndsWith))",message="The fields eventCategory, readOnly and resources.type take the operator equals only."
// +kubebuilder:validation:XValidation:rule="self.field != 'eventCategory' || (has(self.equals) && size(self.equals) == 1 && self.equals[0] in ['Management', 'Data'])",message="The field eventCategory must equal one of Management and Data."
// +kubebuilder:validation:XValidation:rule="self.field != 'readOnly' || (has(self.equals) && size(self.equals) == 1 && self.equals[0] in ['true', 'false'])",message="The field readOnly must equal one of true and false."
type FieldSelector struct {
	// field is the property that is compared.
	// +required
	Field Field `json:"field"`

	// equals matches when the field is one of the values.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=2048
	Equals []string `json:"equals,omitempty"`

	// startsWith matches when the field begins with one of the values.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=2048
	StartsWith []string `json:"startsWith,omitempty"`

	// endsWith matches when the field ends with one of the values.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=2048
	EndsWith []string `json:"endsWith,omitempty"`

	// notEquals matches when the field is none of the values.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=2048
	NotEquals []string `json:"notEquals,omitempty"`

	// notStartsWith matches when the field begins with none of the values.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=2048
	NotStartsWith []string `json:"notStartsWith,omitempty"`

	// notEndsWith matches when the field ends with none of the values.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=2048
	NotEndsWith []string `json:"notEndsWith,omitempty"`
}
